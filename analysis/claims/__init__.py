"""What people say about serving Sanic apps, held against what was measured.

    answered = claims(gather(root, machine_id))

The claims are those of one old discussion, and those that the catalogue's variants test. Each is answered
from the runs of one machine: one of performance, one of recycling, one replay of the benchmark that was
argued about, and those that tried settings. What was not measured has no answer.
"""

from analysis.claims.answers import claims
from analysis.claims.material import Material, gather
from analysis.claims.model import Claim, Claims

__all__ = ["Claim", "Claims", "Material", "claims", "gather"]
