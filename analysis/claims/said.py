"""Every claim of the discussion, with what answers it."""

from collections.abc import Callable

from analysis.claims.calls import sanic_app_is_no_call
from analysis.claims.clients import clients_are_not_simultaneous
from analysis.claims.material import Material
from analysis.claims.model import Answer, Claim, Claims
from analysis.claims.restarts import gunicorn_restarts, servers_restart_nothing
from analysis.claims.speed import sanic_is_the_fastest, sanic_worker_is_faster, uvicorn_worker_is_much_better

_CLAIMS: dict[str, Callable[[Material], Answer]] = {
    "Neither the Sanic nor the Uvicorn server can restart workers.": servers_restart_nothing,
    "Both Gunicorn workers restart with `--max-requests`.": gunicorn_restarts,
    "Under Gunicorn, the Sanic worker is faster.": sanic_worker_is_faster,
    "Under Gunicorn, the Uvicorn worker is much better.": uvicorn_worker_is_much_better,
    "A synchronous client does not make simultaneous requests.": clients_are_not_simultaneous,
    "Sanic's server directly is the fastest.": sanic_is_the_fastest,
    "`sanic app:app` is not a valid call.": sanic_app_is_no_call,
}


def claims(material: Material) -> Claims:
    """All of them, answered from `material`."""
    return Claims(tuple(Claim(text, answer(material)) for text, answer in _CLAIMS.items()))
