"""How a model is asked, as the page shows it: in a line that can be copied, for each language."""

import json
import shlex
from typing import Final

from modelservice.serving.core import Core
from modelservice.serving.uploads import takes_pictures

SAVED: Final = "request.json"
"""What a request of many columns is called, which the page lets one save."""


def calls_of(core: Core, *, large: bool) -> dict[str, str]:
    """How to ask a model, by language; ORIGIN stands for where the page came from.

    Args:
        core: the model.
        large: its row is too long for a line: it stands in a file, ``SAVED``.
    """
    path = f"ORIGIN/v1/models/{core.name}:predict"
    keyed = core.common.gate.auth is not None
    curl = f"curl -s {path}" + (' -H "Authorization: Bearer $TOKEN"' if keyed else "")
    if takes_pictures(core.model.signature):
        header = ', headers: {authorization: "Bearer " + token}' if keyed else ""
        return {
            "curl": f"{curl} --data-binary @picture.png",
            "JavaScript": f'await (await fetch("{path}", {{method: "POST", body: file{header}}})).json()',
        }
    row = core.model.encoder.example()
    body = json.dumps({"instances": [row]}, ensure_ascii=False)
    token = ", token=TOKEN" if keyed else ""
    headers = '"content-type": "application/json"' + (', authorization: "Bearer " + token' if keyed else "")
    curl = f"{curl} -H 'content-type: application/json' -d"
    begin, rows = "import modelservice\n", f"[{row!r}]"
    first, sent = "", f"JSON.stringify({body})"
    if large:
        begin = f'import json\n\n{begin}\nwith open("{SAVED}") as file:\n    rows = json.load(file)["instances"]\n'
        rows = "rows"
        first, sent = 'import { readFile } from "node:fs/promises";\n\n', f'await readFile("{SAVED}")'
    return {
        "curl": f"{curl} @{SAVED}" if large else f"{curl} {shlex.quote(body)}",
        "Python": f'{begin}\nwith modelservice.connect("ORIGIN", model="{core.name}"{token}) as model:\n'
        f"    print(model.predict({rows}))",
        "JavaScript": f'{first}const answer = await fetch("{path}", {{\n  method: "POST",\n  headers: {{{headers}}},\n'
        f"  body: {sent},\n}});\nconsole.log((await answer.json()).predictions);",
    }
