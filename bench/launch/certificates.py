"""The certificate of servers that speak TLS, made for one run and gone with it.

Its authority is made for it alone and its key kept nowhere, so that nothing else can be signed by it. Keys
are ECDSA on P-256, which is what public authorities give by default today: a handshake with RSA costs a
server more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

AUTHORITY: Final = "WHICHWORKER_AUTHORITY"
"""Names the authority to the suite's users, which trust it beside those of the system."""


@dataclass(frozen=True)
class Certificate:
    """PEM files: what signed it, what servers present, and their key."""

    authority: Path
    certificate: Path
    key: Path

    def with_key(self, folder: Path) -> Path:
        """A file in a folder that has certificate and key, as proxies like them."""
        both = folder / "certificate.pem"
        both.touch(mode=0o600)
        both.write_text(self.certificate.read_text() + self.key.read_text())
        return both

    def serve_options(self) -> list[str]:
        """What tells serve of it."""
        return ["--certificate", str(self.certificate), "--key", str(self.key)]


def issue(folder: Path, *addresses: str) -> Certificate:
    """Make a certificate for the addresses that servers and proxies listen on, in a folder of its own."""
    # Imported here: it brings a library of ciphers, and few runs need it.
    import trustme

    folder.mkdir()
    made = Certificate(*(folder / f"{name}.pem" for name in ("authority", "certificate", "key")))
    authority = trustme.CA()
    issued = authority.issue_cert(*dict.fromkeys(addresses))
    authority.cert_pem.write_to_path(str(made.authority))
    issued.cert_chain_pems[0].write_to_path(str(made.certificate))
    issued.private_key_pem.write_to_path(str(made.key))
    return made
