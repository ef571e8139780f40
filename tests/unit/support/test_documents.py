"""Commands of documents are found whole, and so is where they stand."""

from pathlib import Path

import pytest
from tests.support import documents
from tests.support.documents import Command, File

PAGE = """# A page

## First

```yaml
# values.yaml
replicas: 2
```

```sh
# said by itself
for one in a b; do
  echo "$one"
done
curl -d '{"a":
  1}' host   # a comment

kubectl get pods \\
  -A
```

```text
$ not typed
```

- ```console
  $ cat > file <<'END'
  text
  END
  $ ls
  file
  other
  $ true
  ```

### Second

```python
print(1)
```

```bash
true
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return "page.md"


def test_steps_are_commands_and_files_in_order(page: str) -> None:
    assert documents.steps.__wrapped__(page) == (
        File(page, "values.yaml", "# values.yaml\nreplicas: 2\n"),
        Command(page, "First", 12, 'for one in a b; do\n  echo "$one"\ndone'),
        Command(page, "First", 15, "curl -d '{\"a\":\n  1}' host   # a comment"),
        Command(page, "First", 18, "kubectl get pods \\\n  -A"),
        Command(page, "First", 27, "cat > file <<'END'\ntext\nEND"),
        Command(page, "First", 30, "ls", ("file", "other")),
        Command(page, "First", 33, "true"),
        Command(page, "Second", 43, "true"),
    )


def test_a_command_without_an_end_is_an_error(page: str, tmp_path: Path) -> None:
    (tmp_path / page).write_text("```sh\necho 'open\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:2: a command that has no end: echo 'open"):
        documents.steps.__wrapped__(page)


def test_a_test_that_nothing_is_for_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"no command of README\.md is for tests/nowhere"):
        documents.typed_by("tests/nowhere", "README.md")
