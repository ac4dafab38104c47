"""Makes keys and tokens of an issuer, and opens and makes ours: what is asked for comes as JSON, and so does the answer."""

import base64
import hashlib
import hmac
import json
import pathlib
import sys

import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ask = json.load(sys.stdin)
answer = {}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def derived(key, purpose, definition):
    return hmac.new(key.encode(), f"{purpose} of security/{definition}".encode(), hashlib.sha256).digest()


def ours(asked):
    seal = Fernet(base64.urlsafe_b64encode(derived(asked["key"], "jwt seal", asked["definition"])))
    return seal, derived(asked["key"], "jwt sign", asked["definition"])


if "open" in ask:
    seal, sign = ours(ask["open"])
    inside = seal.decrypt(ask["open"]["token"].encode())
    answer["header"] = jwt.get_unverified_header(inside)
    answer["claims"] = jwt.decode(inside, sign, algorithms=["HS256"], options={"verify_exp": True})

if "make" in ask:
    seal, sign = ours(ask["make"])
    inside = jwt.encode(ask["make"]["claims"], sign, algorithm=ask["make"].get("alg", "HS256"))
    answer["made"] = seal.encrypt(inside.encode()).decode()

if "issuer" in ask:
    folder, keys = pathlib.Path(ask["issuer"]["folder"]), {}
    for name, kind in ask["issuer"]["keys"].items():
        path = folder / f"{name}.pem"
        if not path.exists():
            key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
            path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
        keys[name] = serialization.load_pem_private_key(path.read_bytes(), None)
    published = []
    for name in ask["issuer"]["published"]:
        kind = jwt.algorithms.RSAAlgorithm if ask["issuer"]["keys"][name] == "RSA" else jwt.algorithms.ECAlgorithm
        published.append({**kind.to_jwk(keys[name].public_key(), as_dict=True), "kid": name, "use": "sig"})
    new = folder / "jwks.new"
    new.write_text(json.dumps({"keys": published}))
    new.rename(folder / "jwks.json")
    answer["tokens"] = []
    for token in ask["issuer"]["tokens"]:
        headers = {"kid": token["key"], **token.get("headers", {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        key, alg = keys[token["key"]], token["alg"]
        if alg == "none":
            made = jwt.encode(token["claims"], None, algorithm="none", headers=headers)
        elif alg.startswith("HS"):
            # The public key, which everybody has, as if it were a shared secret: by hand, since no library does it.
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            head = b64(json.dumps({"typ": "JWT", "alg": alg, **headers}).encode())
            body = b64(json.dumps(token["claims"]).encode())
            made = f"{head}.{body}." + b64(hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest())
        else:
            made = jwt.encode(token["claims"], key, algorithm=alg, headers=headers)
        answer["tokens"].append(made)

json.dump(answer, sys.stdout)
