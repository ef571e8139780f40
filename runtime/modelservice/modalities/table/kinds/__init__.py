"""The kinds of columns, in the order in which a column is offered to them: the last one takes whatever is left."""

from typing import Final

from modelservice.modalities.table.kinds.base import Kind
from modelservice.modalities.table.kinds.boolean import BOOLEAN
from modelservice.modalities.table.kinds.category import CATEGORY
from modelservice.modalities.table.kinds.date import DATE
from modelservice.modalities.table.kinds.encoded import ENCODED
from modelservice.modalities.table.kinds.number import NUMBER
from modelservice.modalities.table.kinds.plain import PLAIN
from modelservice.modalities.table.kinds.text import TEXT
from modelservice.modalities.table.kinds.unused import UNUSED
from modelservice.modalities.table.kinds.written_number import WRITTEN_NUMBER

KINDS: Final[tuple[Kind, ...]] = (UNUSED, PLAIN, BOOLEAN, DATE, WRITTEN_NUMBER, NUMBER, ENCODED, TEXT, CATEGORY)
