#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
"""A service behind the gateway that believes nothing but a signed token (MTLSExport jwt).

    verify_token.py --jwks https://api.example.com/jwks.json \
        --issuer https://api.example.com --audience reports --port 8085

It tells whoever asks what it knows of him, one "name: value" a line, or answers 401. All checking is
PyJWT's (Debian: python3-jwt, python3-cryptography). For a CA of your own before the JWKS, set
SSL_CERT_FILE.
"""

import argparse
import base64
import hashlib
import hmac
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

# What the gateway signs with. Never taken from the token: its sender would choose.
ALGORITHMS = ["ES256"]
CLAIMS = ["iss", "aud", "sub", "iat", "exp", "jti", "cnf"]


class Refused(Exception):
    """The request is nobody's; the text is for the log and for whoever tries this out."""


def only_value(headers, name, required=True):
    """The value of a header that must not come twice. X_Client_Identity is another header here."""
    values = headers.get_all(name, [])
    if len(values) > 1:
        raise Refused(f"{len(values)} values of {name}")
    if required and not values:
        raise Refused(f"no {name}")
    return values[0].strip() if values else None


def thumbprint(client_cert):
    """What cnf must say of a certificate in the form of RFC 9440: x5t#S256, RFC 8705."""
    if not re.fullmatch(r":[A-Za-z0-9+/]+={0,2}:", client_cert):
        raise Refused("Client-Cert is not one certificate")
    der = base64.b64decode(client_cert[1:-1], validate=True)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


class Verifier:
    """Knows whose tokens count, and for whom they must be made."""

    def __init__(self, jwks, issuer, audience, algorithms, lifespan=300):
        # Keys are kept for this long; a kid that is not among them makes it look again at once.
        self.keys = jwt.PyJWKClient(jwks, lifespan=lifespan)
        self.issuer = issuer
        self.audience = audience
        self.algorithms = algorithms

    def claims(self, headers):
        """What is known of the client; raises Refused."""
        token = only_value(headers, "X-Client-Identity")
        try:
            key = self.keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=self.algorithms,
                issuer=self.issuer,
                audience=self.audience,
                leeway=2,
                options={"require": CLAIMS},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
        self.compare_certificate(headers, claims)
        return claims

    @staticmethod
    def compare_certificate(headers, claims):
        """With "MTLSExport rfc9440" beside the token, the certificate comes too: it must be the one
        that the token was made for, and then it counts as signed."""
        client_cert = only_value(headers, "Client-Cert", required=False)
        if client_cert is None:
            return
        confirmation = claims["cnf"] if isinstance(claims["cnf"], dict) else {}
        confirmed = str(confirmation.get("x5t#S256", ""))
        if not hmac.compare_digest(thumbprint(client_cert), confirmed):
            raise Refused("Client-Cert is not the certificate of the token")


class Handler(BaseHTTPRequestHandler):
    """Answers every request with who sent it."""

    protocol_version = "HTTP/1.1"
    verifier = None
    label = "reports"

    def do_GET(self):  # pylint: disable=invalid-name
        try:
            claims = self.verifier.claims(self.headers)
        except Refused as refused:
            self.answer(401, f"refused: {refused}\n")
            return
        lines = [f"{name}: {value}" for name, value in sorted(claims.items())]
        self.answer(200, "\n".join([f"backend: {self.label}", *lines, ""]))

    do_HEAD = do_GET

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jwks", required=True, help="where the gateway publishes its keys")
    parser.add_argument("--issuer", required=True, help="iss= of MTLSExport, or the ServerName")
    parser.add_argument("--audience", required=True, help="aud= of MTLSExport: this service")
    parser.add_argument("--algorithm", action="append", help="ES256 unless given")
    parser.add_argument("--lifespan", type=int, default=300, help="seconds to keep the keys")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1: for the gateway alone")
    arguments = parser.parse_args()
    Handler.label = arguments.audience
    Handler.verifier = Verifier(
        arguments.jwks,
        arguments.issuer,
        arguments.audience,
        arguments.algorithm or ALGORITHMS,
        arguments.lifespan,
    )
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
