"""`python -m inference certs --out DIR [--node NAME]…`: the deployment's CA and a certificate for each node.

DIR/ca.pem and DIR/ca.key are made once and kept; DIR/<node>/ then holds what that machine needs in `<data>/certs`:
ca.pem, node.pem, node.key. The CA's key stays where it is: whoever has it can add nodes.
"""

import argparse
import datetime
import ipaddress
import os
import re
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inference.transport.tls import CA, CERTIFICATE, KEY

CA_KEY = "ca.key"
CA_DAYS, NODE_DAYS = 3650, 825
NODE_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,62}[A-Za-z0-9])?$")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m inference certs", description="Make the CA and nodes' certificates.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the CA, kept private")
    parser.add_argument("--node", action="append", default=[], metavar="NAME", help="host name or address; repeatable")
    parser.add_argument("--days", type=int, default=NODE_DAYS, help=f"validity of node certificates ({NODE_DAYS})")
    arguments = parser.parse_args(argv)
    for node in arguments.node:
        if not NODE_NAME.match(node):
            parser.error(f"{node!r} is no host name or address.")
    if arguments.days < 1:
        parser.error("--days takes 1 or more.")
    say = sys.stdout.write
    say(f"CA: {make_ca(arguments.out) / CA}\n")
    for node in arguments.node:
        folder = make_node(arguments.out, node, arguments.days)
        say(f"{node}: copy {folder} to <data>/certs on that machine\n")
    return 0


def make_ca(folder: Path) -> Path:
    """The CA in `folder`, made unless it is there: a second one would cut off every node of the first."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / CA_KEY).exists():
        return folder
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Switchyard deployment CA")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / CA_KEY, key)
    (folder / CA).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder


def make_node(ca_folder: Path, node: str, days: int = NODE_DAYS) -> Path:
    """A fresh key and certificate for one machine, to serve and to call."""
    ca = x509.load_pem_x509_certificate((ca_folder / CA).read_bytes())
    ca_key = serialization.load_pem_private_key((ca_folder / CA_KEY).read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_folder / CA_KEY} is not a key that this program made.")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        builder(name, ca.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative_name(node)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    folder = ca_folder / node.replace(":", "_")
    folder.mkdir(exist_ok=True, mode=0o700)
    write_private(folder / KEY, key)
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / CA).write_bytes((ca_folder / CA).read_bytes())
    return folder


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks of a cluster differ a little
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def alternative_name(node: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(node))
    except ValueError:
        return x509.DNSName(node)


def write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Readable by its owner alone from the first byte on."""
    path.unlink(missing_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
