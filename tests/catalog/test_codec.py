"""The dataset record: its document and its schema say the same."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import lakecv_catalog
import pytest
from lakecv_catalog.codec import decode, encode, json_schema

from lakecv.errors import Corrupt, InvalidInput
from lakecv.testing.catalog import a_dataset

SCHEMA = Path(lakecv_catalog.__file__).parent / "schema" / "dataset-v1.json"


def test_a_record_comes_back_as_it_was():
    assert decode(encode(a_dataset())) == a_dataset()


def test_an_array_whose_codecs_only_its_store_knows_comes_back_as_such():
    cube = a_dataset().cube
    record = replace(a_dataset(), cube=replace(cube, arrays=(replace(cube.main, compressor=None),)))
    jsonschema.validate(json.loads(encode(record)), json_schema())
    assert decode(encode(record)) == record


def test_the_schema_on_disk_is_the_one_of_the_dataclasses():
    assert json.loads(SCHEMA.read_text()) == json_schema(), "run: python -m lakecv_catalog.codec"


def test_a_record_keeps_the_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(json.loads(encode(a_dataset())), json_schema())


@pytest.mark.parametrize(
    "change",
    [{"format": "lakecv-dataset-2"}, {"nbytes": "12"}, {"unheard": 1}, {"did": "museo:tavola"}, {"metadata": [["one"]]},
     {"replicas": [{"rse": "a"}]}, {"title": None}],
)  # fmt: skip
def test_the_schema_refuses_what_the_codec_refuses(change):
    fields = {**json.loads(encode(a_dataset())), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(fields, json_schema())
    with pytest.raises((Corrupt, InvalidInput), match="record"):
        decode(json.dumps(fields).encode())


def test_equal_records_give_equal_bytes():
    assert encode(a_dataset()) == encode(decode(encode(a_dataset())))
