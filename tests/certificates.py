"""Certificates for servers of tests, from an authority that none but tests trust."""

import trustme

AUTHORITY = trustme.CA()


def issue(folder, name="127.0.0.1"):
    """Paths of a certificate for a name and of its key, as `ssl` takes them."""
    made = AUTHORITY.issue_cert(name)
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    return {"certfile": str(folder / "cert.pem"), "keyfile": str(folder / "key.pem")}
