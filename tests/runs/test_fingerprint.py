"""Fingerprints of code: they change with every definition that a run reaches, and with nothing beside them."""

import ast
import time
from pathlib import Path

import pytest

import nlcore
from nlcore.errors import InputError
from nlcore.runs import Spec
from nlcore.runs.fingerprint import WHOLE, Code, code_fingerprint
from nlcore.runs.source import dump, installed_module, parse

# A package outside nlcore: a run, a method that it imports, and what that uses in turn.
PAPER = {
    "paper": "",
    "paper.runs": """
        import math
        from nlcore.runs import Spec
        from paper import maths
        from paper.methods import method as chosen
        UNUSED = 1
        class Run(Spec):
            depth: "Depth"
            def seconds(self): return 1.0
            def compute(self, inputs): return chosen(maths.half(self.depth) + math.pi)
        class Special(Run):
            def name(self): return "special"
        class Depth: limit = 3
        def unrelated(): return 1
    """,
    "paper.maths": """
        def half(x): return x / 2
        def unrelated(): return 2
    """,
    "paper.methods": """
        from paper.tools import helper
        FACTOR = 3
        def method(x):
            from paper.late import lazily
            return lazily(helper(x)) * FACTOR
        def unrelated(): return 3
    """,
    "paper.tools": """
        from paper.depths import deepest
        def helper(x): return deepest(x)
        def unrelated(): return 4
    """,
    "paper.depths": "def deepest(x): return x + 1",
    "paper.late": "def lazily(x): return -x",
}


def modules_of(package):
    """A reader of modules given as texts, indented or not."""
    names = {name: name if any(other.startswith(f"{name}.") for other in package) else name.rpartition(".")[0]
             for name in package}  # fmt: skip
    return lambda name: parse(_undented(package[name]), names[name]) if name in package else None


def _undented(text):
    lines = text.strip("\n").splitlines()
    margin = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    return "\n".join(line[margin:] for line in lines)


def fingerprint(changes=None, name="Run", **more):
    """Of a run of the package, after changes: module -> (text, its replacement)."""
    package = PAPER | more
    for module, (old, new) in (changes or {}).items():
        assert old in package[module]
        package[module] = package[module].replace(old, new)
    return Code("paper", modules_of(package)).fingerprint("paper.runs", name)


PLAIN = fingerprint()


@pytest.mark.parametrize("module", ["runs", "maths", "methods", "tools"])
def test_an_unrelated_function_in_a_module_that_is_used_does_not_matter(module):
    assert fingerprint({f"paper.{module}": ("unrelated(): return", "unrelated(): return -")}) == PLAIN


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("runs", "math.pi", "math.e"),  # the run itself
        ("maths", "x / 2", "x / 3"),  # through a module's attribute
        ("methods", "FACTOR = 3", "FACTOR = 4"),  # a constant
        ("tools", "deepest(x)", "deepest(2 * x)"),  # one hop further
        ("depths", "x + 1", "x + 2"),  # two
        ("late", "-x", "x"),  # imported inside a function
        ("runs", "limit = 3", "limit = 4"),  # the class of a field, quoted
        ("runs", "import math", "import cmath as math"),  # the same name for something else
    ],
)
def test_whatever_is_reached_counts(module, old, new):
    assert fingerprint({f"paper.{module}": (old, new)}) != PLAIN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def half(x): return x / 2", 'def half(x):\n            """Of x."""\n            return x / 2  # why'),
        ("def half(x): return", '"""A module."""\n        import json\n        def half(x): return'),
        ("def half(x): return", "def half(x): import json; return"),
        ("def unrelated", "def another"),
    ],
)
def test_comments_docstrings_and_unused_imports_do_not_count(old, new):
    assert fingerprint({"paper.maths": (old, new)}) == PLAIN


def test_a_definition_may_be_moved_or_passed_on_by_a_package():
    moved = {"paper.tools": ("from paper.depths import deepest", "from paper.moved.inner import deepest")}
    more = {"paper.moved": "", "paper.moved.inner": "def deepest(x): return x + 1"}
    assert fingerprint(moved, **more) == PLAIN
    passed_on = {"paper.tools": ("from paper.depths import deepest", "from paper.moved import deepest")}
    assert fingerprint(passed_on, **(more | {"paper.moved": "from .inner import *"})) == PLAIN
    assert fingerprint(passed_on, **(more | {"paper.moved": "from .inner import deepest"})) == PLAIN
    changed = more | {"paper.moved": "from .inner import deepest", "paper.moved.inner": "def deepest(x): return x"}
    assert fingerprint(passed_on, **changed) != PLAIN


def test_which_of_two_known_functions_a_name_means_counts():
    both = "from paper.methods import method as a, unrelated as b"
    used = {"paper.runs": ("return chosen(", f"{both}; return a(b)(")}
    swapped = used["paper.runs"][1].replace("as a", "as c").replace("as b", "as a").replace("as c", "as b")
    assert fingerprint(used) != fingerprint({"paper.runs": ("return chosen(", swapped)}), "the same definitions"


@pytest.mark.parametrize("method", ["seconds", "work", "device_name", "name", "data_fingerprint", "helps_it"])
def test_methods_that_describe_a_run_do_not_count_in_whichever_subclass(method):
    returns = " -> Work" if method == "helps_it" else ""
    added = f"depth: 'Depth'\n            def {method}(self){returns}: return UNUSED"
    assert fingerprint({"paper.runs": ('depth: "Depth"', added)}) == fingerprint({"paper.runs": ('"Depth"', "'Depth'")})
    special = {"paper.runs": ('return "special"', "return UNUSED")}
    assert fingerprint(special, "Special") == fingerprint(name="Special")
    ordinary = f"class Depth:\n            def {method}(self): return 1"
    assert fingerprint({"paper.runs": ("class Depth: limit = 3", ordinary)}) != fingerprint(
        {"paper.runs": ("class Depth: limit = 3", ordinary.replace("return 1", "return 2"))}
    ), "the same method of any other class does"


def test_a_base_class_a_decorator_and_a_default_count():
    for extra in ("class Special(Run, Depth):", "@chosen\n        class Special(Run):"):
        assert fingerprint({"paper.runs": ("class Special(Run):", extra)}, "Special") != fingerprint(name="Special")
    default = {"paper.maths": ("half(x)", "half(x, y=unrelated)")}
    assert fingerprint(default) != fingerprint(default | {"paper.maths": ("half(x)", "half(x, y=None)")})


def test_a_local_name_is_not_the_modules_own_and_a_comprehensions_ends_with_it():
    shadowed = {"paper.maths": ("def half(x): return x / 2", "def half(unrelated): return unrelated / 2")}
    inner = {"paper.maths": ("return x / 2", "return [unrelated for unrelated in x], unrelated")}
    names = {
        kind: {name for _, name in Code("paper", modules_of(_changed(change))).reached("paper.runs", "Run")}
        for kind, change in (("shadowed", shadowed), ("inner", inner))
    }
    assert "unrelated" not in names["shadowed"]
    assert "unrelated" in names["inner"]


def _changed(changes):
    return PAPER | {name: PAPER[name].replace(*change) for name, change in changes.items()}


@pytest.mark.parametrize(
    "effect",
    ["print(1)", "if True:\n            TABLE = 1", "TABLE['a'] = 1", "half.rate = 1",
     "@half\n        def registered(): return 1"],
)  # fmt: skip
def test_what_happens_when_a_module_is_imported_counts(effect):
    added = ("def unrelated", f"{effect}\n        def unrelated")
    changed = (added[0], added[1].replace("1", "2"))
    assert len({PLAIN, fingerprint({"paper.maths": added}), fingerprint({"paper.maths": changed})}) == 3


def test_a_module_used_as_an_object_counts_as_a_whole():
    used = ("maths.half(self.depth)", "getattr(maths, 'half')(self.depth)")
    unrelated = {"paper.maths": ("return 2", "return 3")}
    assert fingerprint({"paper.runs": used}) != fingerprint({"paper.runs": used} | unrelated)


def test_import_loops_end():
    loop = {"paper.loop": "from paper.pool import missing", "paper.pool": "from paper.loop import missing"}
    fingerprint({"paper.maths": ("def half", "from paper.loop import missing\n        def half")}, **loop)
    assert fingerprint({"paper.maths": ("x / 2", "missing(x)\n        from paper.loop import missing")}, **loop)


def test_absent_fields_of_syntax_trees_do_not_count_since_they_differ_between_versions_of_python():
    node = ast.parse("def f(x): return None")
    assert dump(node).count("decorator_list") == dump(node).count("type_params") == 0


def edited(module, function):
    """Reads nlcore as it is installed, but for one function, which begins with another statement."""
    tree = ast.parse(Path(nlcore.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py").read_text())
    (node,) = [node for node in tree.body if getattr(node, "name", None) == function]
    node.body.insert(0, ast.parse("changed = True").body[0])
    changed = parse(ast.unparse(tree), module.rpartition(".")[0])
    return Code("nlcore", lambda name: changed if name == module else installed_module(name))


def suite():
    """Module and class of every run of every paper: the classes that compute something, alone or together."""
    root, computing = Path(nlcore.__file__).parent, {"compute", "compute_together"}
    for path in sorted((root / "papers").rglob("*.py")):
        module = ".".join(path.relative_to(root.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef) or path.stem == "together":
                continue
            if computing & {getattr(part, "name", None) for part in node.body}:
                yield module, node.name


def test_a_run_of_the_suite_follows_the_metric_it_uses_and_no_other():
    """Touching `lift_at` used to invalidate every training of a paper that never calls it."""
    (gold,) = [kind for kind in suite() if kind[1] == "GoldClassifier"]
    plain = Code("nlcore").fingerprint(*gold)
    assert edited("nlcore.metrics.detection", "lift_at").fingerprint(*gold) == plain
    assert edited("nlcore.metrics.classification", "mean_average_precision").fingerprint(*gold) != plain
    assert edited("nlcore.training.loop", "train").fingerprint(*gold) != plain


def test_every_name_of_the_suites_runs_is_told_and_none_stands_for_a_whole_module():
    code = Code("nlcore")
    for kind in suite():
        reached = code.reached(*kind)
        assert [place for place in reached if place[1] == WHOLE] == []
        assert not any(module.startswith(("nlcore.runs", "nlcore.report", "nlcore.app")) for module, _ in reached)


def test_fingerprints_of_the_whole_suite_take_little_more_than_reading_it():
    kinds, files = list(suite()), sorted(Path(nlcore.__file__).parent.rglob("*.py"))
    installed_module.cache_clear()
    start = time.process_time()
    code = Code("nlcore")
    assert len({code.fingerprint(*kind) for kind in kinds}) == len(kinds) >= 15
    named = time.process_time()
    assert len([ast.parse(file.read_text(encoding="utf-8")) for file in files]) > 100
    assert named - start < 4 * (time.process_time() - named)


def test_a_class_without_a_file_is_one_clear_line():
    made = type("Made", (Spec,), {"__module__": "__notebook__"})
    with pytest.raises(InputError, match=r"__notebook__.Made: its code lies in no file"):
        code_fingerprint(made)
