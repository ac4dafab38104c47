"""Calls services with the client that programs of the older platform use. What is to be called comes as JSON lines, and so do the
answers. The client is the real one; of what it imports and cannot be installed any more, the few names that it uses stand here."""

import json
import sys
import types

STANDS_IN = {
    "zato.common": {},
    "zato.common.api": {
        "BROKER": types.SimpleNamespace(DEFAULT_EXPIRATION=15),
        "ZATO_NOT_GIVEN": b"not given",
        "ZATO_OK": "ZATO_OK",
    },
    "zato.common.exception": {"ZatoException": type("ZatoException", (Exception,), {})},
    "zato.common.xml_": dict.fromkeys(
        "soap_data_path soap_data_xpath soap_fault_xpath zato_data_path zato_data_xpath zato_details_xpath "
        "zato_result_xpath".split()
    ),
    "zato.common.log_message": {"CID_LENGTH": 24},
    "zato.common.odb": {},
    "zato.common.odb.model": {"Server": None},
}
for name, content in STANDS_IN.items():
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module

from zato import client  # noqa: E402 - not before its imports are there

address, password = sys.argv[1:]


def api(ask):
    """Any service, by any verb."""
    clients = client.APIClient(address, "pubapi", password)
    answer = clients.by_verb(ask.get("verb", "post"), ask["service"], ask.get("payload"))
    return {"ok": answer.is_ok, "data": answer.data, "details": answer.details, "cid": answer.cid}


def structured(answer):
    return {"ok": answer.ok, "data": answer.data, "details": answer.details, "cid": answer.cid}


def sio(ask):
    """One of the platform's own services, whose answer has an element around it."""
    path = "/zato/json/" + ask["service"]
    clients = client.JSONSIOClient(address, path, auth=("pubapi", password))
    return structured(clients.invoke(ask["payload"]))


def raw_json(ask):
    """The same, as JSON without a look into it."""
    path = "/zato/json/" + ask["service"]
    clients = client.JSONClient(address, path, auth=("pubapi", password))
    return structured(clients.invoke(ask["payload"]))


def invoker(ask):
    """Any service, through the one that invokes others."""
    clients = client.AnyServiceInvoker(address, "/zato/admin/invoke", auth=("admin.invoke", password))
    more = {"payload": ask["payload"]} if "payload" in ask else {}
    call = clients.invoke_async if ask.get("async") else clients.invoke
    return structured(call(ask["service"], **more))


WAYS = {"api": api, "sio": sio, "json": raw_json, "invoker": invoker}
for line in sys.stdin:
    ask = json.loads(line)
    print(json.dumps(WAYS[ask["by"]](ask)), flush=True)
