"""The properties of the shipped checkpoint, read from its files without torch."""

import json
from pathlib import Path
from typing import Any

from harness.training import synthetic
from harness.training.synthetic.sentence_pairs import vocabulary

CHECKPOINT = Path(synthetic.__file__).parent / "checkpoint"


def tensor_table(safetensors: bytes) -> dict[str, Any]:
    """The header of a safetensors file: an 8-byte length, then that many bytes of JSON."""
    length = int.from_bytes(safetensors[:8], "little")
    table: dict[str, Any] = json.loads(safetensors[8 : 8 + length])
    table.pop("__metadata__", None)
    return table


def test_vocabulary_is_that_of_the_grammar() -> None:
    """The model's token ids are those of the grammar's words."""
    entries = (CHECKPOINT / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = json.loads((CHECKPOINT / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))

    assert vocabulary() == entries
    assert {entry: index for index, entry in enumerate(entries)} == tokenizer["model"]["vocab"]
    assert len(entries) == config["vocab_size"]
    assert vocabulary()[::-1] != entries


def test_weights_are_a_bare_bert_with_pooler_and_no_classifier() -> None:
    """Fine-tuning starts with the pretrained pooler and a new classification head."""
    names = set(tensor_table((CHECKPOINT / "model.safetensors").read_bytes()))

    assert {"pooler.dense.weight", "pooler.dense.bias"} <= names
    assert {"embeddings", "encoder", "pooler"} == {name.split(".")[0] for name in names}


def test_tensor_table_shows_a_head_where_there_is_one() -> None:
    """Control: the header of a file with a classifier names it."""
    header = b'{"classifier.weight": {}, "__metadata__": {}}'

    assert {"classifier.weight": {}} == tensor_table(len(header).to_bytes(8, "little") + header)


def test_folder_is_small_and_records_its_origin() -> None:
    """The folder takes at most 4 MB and records steps, seed and versions."""
    size_bytes = sum(file.stat().st_size for file in CHECKPOINT.iterdir())
    provenance = json.loads((CHECKPOINT / "pretraining.json").read_text(encoding="utf-8"))

    assert size_bytes <= 4_000_000
    assert {"steps", "seed", "torch", "transformers"} <= set(provenance)
    assert provenance["matching_accuracy"] > 0.80
