"""Route graphs as operators write them: what each selector's table becomes, what is wrong with it, what is worth a warning."""

from pathlib import Path
from typing import Any

import pytest

from wardwright.config.load import load_config
from wardwright.config.problems import ConfigError
from wardwright.domain.route import (
    Alias,
    Alloy,
    Cascade,
    Constituent,
    Dispatcher,
    Guard,
    ModelDefinition,
    Requirements,
    Selector,
)

TARGETS = """
[[providers]]
id = "local"
kind = "canned"
outputs = ["hello"]

[[targets]]
id = "local/small"
provider = "local"
context_window = 100
tags = ["private"]

[[targets]]
id = "local/large"
provider = "local"
context_window = 1000
history = "private"
"""


def load(folder: Path, models: str) -> tuple[list[ModelDefinition], list[str]]:
    path = folder / "wardwright.toml"
    path.write_text(TARGETS + models)
    loaded = load_config(path, {})
    return list(loaded.definitions), [str(warning) for warning in loaded.warnings]


def problems(folder: Path, models: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(folder, models)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("table", "selector"),
    [
        (
            'dispatchers = [{ id = "x", models = ["local/small"], sticky = "session", on_overflow = "largest" }]',
            Dispatcher("x", ("local/small",), sticky=True, on_overflow="largest"),
        ),
        (
            'cascades = [{ id = "x", models = ["local/small"], on_content_filter = "next" }]',
            Cascade("x", ("local/small",), on_content_filter="next"),
        ),
        (
            'cascades = [{ id = "x", models = ["local/small"], resume = "continue" }]',
            Cascade("x", ("local/small",), resume=True),
        ),
        (
            'alloys = [{ id = "x", constituents = [{ model = "local/small", weight = 3 }, { model = "local/large" }] }]',
            Alloy("x", "weighted", (Constituent("local/small", 3), Constituent("local/large"))),
        ),
        (
            (
                'alloys = [{ id = "x", strategy = "round_robin", min_context_window = 64, sticky = "session", '
                'constituents = [{ model = "local/small" }, { model = "local/large" }] }]'
            ),
            Alloy(
                "x",
                "round_robin",
                (Constituent("local/small"), Constituent("local/large")),
                min_context_window=64,
                sticky=True,
            ),
        ),
        (
            'guards = [{ id = "x", require = { tags = ["a"], target_tags = ["private"] }, model = "local/small" }]',
            Guard("x", "local/small", Requirements(tags=("a",), target_tags=("private",))),
        ),
        (
            'guards = [{ id = "x", require = { tenant_id = ["t"] }, model = "local/small", otherwise = "local/large" }]',
            Guard("x", "local/small", Requirements(tenant_id=("t",)), "local/large"),
        ),
        ('aliases = [{ id = "x", model = "local/large" }]', Alias("x", "local/large")),
    ],
)
def test_a_table_becomes_a_selector(tmp_path: Path, table: str, selector: Selector) -> None:
    (definition,), warnings = load(tmp_path, f'[[models]]\nid = "m"\n{table}\n')
    assert definition.selectors == (selector,)
    assert definition.root == "x"
    assert warnings == []


def test_a_targets_history_is_part_of_its_definition(tmp_path: Path) -> None:
    (definition,), _ = load(tmp_path, '[[models]]\nid = "m"\n')
    assert [target.history for target in definition.targets] == ["shared", "private"]


INNER = '[[models]]\nid = "inner"\naccess = { unkeyed = "internal" }\n'


def test_a_model_can_stand_on_another_internal_one(tmp_path: Path) -> None:
    outer = '[[models]]\nid = "outer"\ncascades = [{ id = "c", models = ["wardwright/inner", "local/small"] }]\n'
    definitions, _ = load(tmp_path, INNER + outer)
    assert definitions[1].selectors == (Cascade("c", ("wardwright/inner", "local/small")),)
    assert [target.id for target in definitions[1].targets] == ["local/small"]
    only = '[[models]]\nid = "outer"\nroute_root = "wardwright/inner"\n'
    definitions, _ = load(tmp_path, INNER + only)
    assert (definitions[1].root, definitions[1].targets) == ("wardwright/inner", ())


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (
            'aliases = [{ id = "x", model = "wardwright/innr" }]',
            (
                'models.m.aliases.x.model: expected "wardwright/" and the id of a model, got "wardwright/innr", '
                'did you mean "wardwright/inner"?'
            ),
        ),
        (
            'aliases = [{ id = "x", model = "wardwright/m" }]',
            "models.m.aliases.x.model: expected no cycle, got x → wardwright/m → x",
        ),
        (
            'alloys = [{ id = "x", constituents = [{ model = "local/small" }] }]',
            "models.m.alloys.x.constituents: expected a list of at least two tables with a model each, got a list",
        ),
        (
            'alloys = [{ id = "x", constituents = [{ model = "local/small" }, { model = "local/large", weight = 0 }] }]',
            "models.m.alloys.x.constituents[1].weight: expected a whole number from 1 to 1000000, got 0",
        ),
        (
            (
                'alloys = [{ id = "x", min_context_window = 101, '
                'constituents = [{ model = "local/small" }, { model = "local/large" }] }]'
            ),
            (
                "models.m.alloys.x.min_context_window: expected at most the 100 tokens of constituent "
                '"local/small", got 101'
            ),
        ),
        (
            'guards = [{ id = "x", require = {}, model = "local/small" }]',
            (
                'models.m.guards.x.require: expected at least one of "tenant_id", "application_id", '
                '"consuming_agent_id", "consuming_user_id", "tags", "target_tags", "max_usd_per_day", got none'
            ),
        ),
        (
            'guards = [{ id = "x", require = { tenant_id = [] }, model = "local/small" }]',
            "models.m.guards.x.require.tenant_id: expected a list of at least one text, got an empty list",
        ),
        (
            'guards = [{ id = "x", require = { target_tags = ["privat"] }, model = "local/small" }]',
            (
                'models.m.guards.x.require.target_tags: expected a tag that a target behind "local/small" has, '
                'got "privat"'
            ),
        ),
        (
            'dispatchers = [{ id = "x", models = ["local/small"], sticky = "user" }]',
            'models.m.dispatchers.x.sticky: expected "session", got "user"',
        ),
    ],
)
def test_what_is_wrong_with_a_graph_is_said_where_it_stands(tmp_path: Path, models: str, expected: str) -> None:
    assert expected in problems(tmp_path, f'{INNER}[[models]]\nid = "m"\n{models}\n')


def test_a_cycle_through_included_files_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text('[[models]]\nid = "two"\naliases = [{ id = "b", model = "wardwright/one" }]\n')
    one = '[[models]]\nid = "one"\naliases = [{ id = "a", model = "wardwright/two" }]\n'
    (problem,) = problems(tmp_path, f'[include]\nmodels = ["two.toml"]\n{one}')
    assert problem == ("models.one.aliases.a.model: expected no cycle, got a → wardwright/two → b → wardwright/one → a")


def test_all_problems_of_several_graphs_come_at_once(tmp_path: Path) -> None:
    models = (
        '[[models]]\nid = "one"\naliases = [{ id = "a", model = "wardwright/two" }]\n'
        '[[models]]\nid = "two"\naliases = [{ id = "b", model = "wardwright/one" }]\n'
        '[[models]]\nid = "three"\nguards = [{ id = "g", require = { target_tags = ["x"] }, model = "local/large" }]\n'
    )
    assert [problem.split(":")[0] for problem in problems(tmp_path, models)] == [
        "models.one.aliases.a.model",
        "models.three.guards.g.require.target_tags",
    ]


def test_a_key_that_changes_nothing_is_worth_a_warning(tmp_path: Path) -> None:
    alloy = (
        '[[models]]\nid = "m"\nalloys = [{ id = "x", partial_context = true, min_context_window = 50, '
        'constituents = [{ model = "local/small" }, { model = "local/large" }] }]\n'
    )
    _, warnings = load(tmp_path, alloy)
    assert warnings == [
        (
            "models.m.alloys.x.min_context_window: changes nothing with partial_context: each constituent goes by "
            "its own window"
        )
    ]


def test_a_target_that_makes_the_same_call_as_another_is_worth_a_warning(tmp_path: Path) -> None:
    twin = '[[targets]]\nid = "local/twin"\nprovider = "local"\nupstream_model = "small"\ncontext_window = 100\n'
    _, warnings = load(
        tmp_path,
        f'{twin}[[models]]\nid = "m"\ndispatchers = [{{ id = "x", models = ["local/twin", "local/small"] }}]\n',
    )
    assert warnings == [
        (
            'models.m.dispatchers.x.models[0]: never chosen: "local/small" is the same model of the same provider, '
            "and comes before it"
        )
    ]


ALLOY = 'constituents = [{ model = "local/small" }, { model = "local/large" }]'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            'dispatchers = [{ id = "x", models = ["local/small"] }]',
            'cascades = [{ id = "x", models = ["local/small"] }]',
        ),
        (
            'cascades = [{ id = "x", models = ["local/small"] }]',
            'cascades = [{ id = "x", models = ["local/small"], sticky = "session" }]',
        ),
        (
            'cascades = [{ id = "x", models = ["local/small"] }]',
            'cascades = [{ id = "x", models = ["local/small"], on_overflow = "largest" }]',
        ),
        (
            'cascades = [{ id = "x", models = ["local/small"] }]',
            'cascades = [{ id = "x", models = ["local/small"], on_content_filter = "next" }]',
        ),
        (f'alloys = [{{ id = "x", {ALLOY} }}]', f'alloys = [{{ id = "x", {ALLOY}, strategy = "round_robin" }}]'),
        (f'alloys = [{{ id = "x", {ALLOY} }}]', f'alloys = [{{ id = "x", {ALLOY}, partial_context = true }}]'),
        (f'alloys = [{{ id = "x", {ALLOY} }}]', f'alloys = [{{ id = "x", {ALLOY}, min_context_window = 7 }}]'),
        (
            'guards = [{ id = "x", require = { tags = ["a"] }, model = "local/small" }]',
            'guards = [{ id = "x", require = { tags = ["b"] }, model = "local/small" }]',
        ),
        ('aliases = [{ id = "x", model = "local/small" }]', 'aliases = [{ id = "x", model = "local/large" }]'),
    ],
)
def test_whatever_routing_depends_on_is_part_of_the_version(tmp_path: Path, before: str, after: str) -> None:
    versions: list[Any] = []
    for table in (before, after):
        (definition,), _ = load(tmp_path, f'[[models]]\nid = "m"\n{table}\n')
        versions.append(definition.version)
    assert versions[0] != versions[1]
