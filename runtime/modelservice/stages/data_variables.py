"""Which variables open the data: those of its own Secret in place of those of the artifact store.

The clients of stores read their standard variables from the process's environment when they are made. Two stores of one
kind would share them, so the operator puts a prefix before the names of ``spec.data.secretRef``.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Final

from modelservice.contract.places import DATA_ENV_PREFIX

_OF_STORES: Final = ("AWS_", "GOOGLE_", "AZURE_")


@contextmanager
def data_variables(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Swap the variables of stores while a client for the data is made; nothing is swapped where data has none.

    Where it has, no other variable of a store counts: neither key nor endpoint of another would be right for it.

    Args:
        environment: of this process; changing it is safe before other threads run.
    """
    own = {
        name.removeprefix(DATA_ENV_PREFIX): value
        for name, value in environment.items()
        if name.startswith(DATA_ENV_PREFIX) and name != DATA_ENV_PREFIX
    }
    hidden = [name for name in environment if own and name.startswith(_OF_STORES)]
    before = {name: environment.get(name) for name in {*own, *hidden}}
    for name in hidden:
        del environment[name]
    environment.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                environment[name] = value
            else:
                environment.pop(name, None)
