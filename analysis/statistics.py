"""The former home of these names; leaves when nothing imports it any more."""

from analysis.aggregate import WITH_INTERVAL as WITH_INTERVAL
from analysis.comparison import MATERIAL as MATERIAL
from analysis.comparison import Ratio as Ratio
from analysis.comparison import compare as compare
from analysis.comparison import interval as interval
from analysis.comparison import rank as rank
from analysis.counters import growth as growth
from analysis.counters import server_memory as server_memory
from analysis.counters import window as window
from analysis.histograms import QUANTILES as QUANTILES
from analysis.histograms import describe as describe
from analysis.histograms import merge as merge
from analysis.histograms import quantile as quantile
from analysis.summary import LOAD as LOAD
from analysis.summary import summarise as summarise
