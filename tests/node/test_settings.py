"""Settings: precedence, types, names."""

import tomllib
from pathlib import Path

import pytest

from chain.errors import Reason, Rejected
from node.settings import OPTIONS, Settings, describe, load_settings


def refused(
    flags: dict[str, str | bool] | None = None,
    environment: dict[str, str] | None = None,
    config: str | None = None,
) -> str:
    with pytest.raises(Rejected) as caught:
        load_settings(flags or {}, environment or {}, config=config)
    assert caught.value.reason is Reason.BAD_SETTING
    return caught.value.detail


def test_nothing_given_is_the_defaults() -> None:
    loaded = load_settings({}, {})
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[rpc]\nport = 1\nhost = "::1"\nlogs_max = 7\n[chain]\nblock_time = 2\n')
    loaded = load_settings(
        {"rpc-port": "3"},
        {"CHAIN_NODE_RPC_PORT": "2", "CHAIN_NODE_RPC_HOST": "0.0.0.0"},
        config=str(config),
    )
    rpc = loaded.settings.rpc
    assert (rpc.port, rpc.host, rpc.logs_max, rpc.body_bytes_max) == (3, "0.0.0.0", 7, 5 * 2**20)
    assert loaded.settings.chain.block_time == 2.0
    assert loaded.sources["rpc.port"] == "flag"
    assert loaded.sources["rpc.host"] == "environment"
    assert loaded.sources["rpc.logs_max"] == str(config)


def test_the_data_folders_own_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[rpc]\nport = 9\n")
    assert load_settings({"datadir": str(tmp_path)}, {}).settings.rpc.port == 9
    assert load_settings({}, {}, default_datadir=str(tmp_path)).settings.rpc.port == 9


def test_unknown_names_are_refused_by_name(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    assert "--rpc-prot" in refused({"rpc-prot": "1"})
    assert "CHAIN_NODE_RPC_PROT" in refused(environment={"CHAIN_NODE_RPC_PROT": "1"})
    config.write_text("[rpc]\nprot = 1\n")
    assert "rpc.prot" in refused(config=str(config))
    config.write_text("[rcp]\nport = 1\n")
    assert "[rcp]" in refused(config=str(config))
    config.write_text("rpc = 1\n")
    assert "rpc" in refused(config=str(config))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[rpc]\nport = "8545"', "rpc.port"),
        ("[rpc]\nport = true", "rpc.port"),
        ("[rpc]\nport = 1.5", "rpc.port"),
        ("[rpc]\nport = 65536", "rpc.port"),
        ("[rpc]\nport = -1", "rpc.port"),
        ("[rpc]\nhost = 5", "rpc.host"),
        ('[rpc]\ncors_origins = "*"', "rpc.cors_origins"),
        ("[rpc]\ncors_origins = [1]", "rpc.cors_origins"),
        ('[chain]\nephemeral = "yes"', "chain.ephemeral"),
        ("[chain]\nblock_time = nan", "chain.block_time"),
        ('[log]\nlevel = "loud"', "log.level"),
        ("[rpc\nport = 1", "not TOML"),
    ],
)
def test_wrong_values_in_a_file_are_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    assert named in refused(config=str(config))


def test_wrong_text_is_refused_by_name() -> None:
    assert "--rpc-port" in refused({"rpc-port": "many"})
    assert "CHAIN_NODE_CHAIN_EPHEMERAL" in refused(
        environment={"CHAIN_NODE_CHAIN_EPHEMERAL": "maybe"}
    )


def test_a_file_that_is_not_there_is_refused() -> None:
    assert "/nowhere/config.toml" in refused(config="/nowhere/config.toml")
    assert "/nowhere/config.toml" in refused(
        environment={"CHAIN_NODE_CONFIG": "/nowhere/config.toml"}
    )


def test_what_is_printed_reads_back_as_the_same_settings(tmp_path: Path) -> None:
    loaded = load_settings(
        {"mnemonic": 'odd "words" \\ and\ttabs', "rpc-cors-origins": "a, b", "ephemeral": True}, {}
    )
    text = describe(loaded)
    tomllib.loads(text)
    config = tmp_path / "settings.toml"
    config.write_text(text)
    again = load_settings({}, {}, config=str(config))
    assert again.settings == loaded.settings


def test_every_option_is_explained_and_has_names_of_its_own() -> None:
    assert len({declared.flag for declared in OPTIONS}) == len(OPTIONS)
    assert len({declared.variable for declared in OPTIONS}) == len(OPTIONS)
    assert all(declared.option.text for declared in OPTIONS)
