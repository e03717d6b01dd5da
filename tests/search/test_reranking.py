"""What the words find, put in the order of what it means: the model's numbers, the order, its time."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from agents.corpus import building
from agents.corpus.building import Source
from agents.corpus.documents import Document, Section
from agents.corpus.index import Index
from agents.search import minilm_files
from agents.search.local import LocalSearch
from agents.search.provider import Query

np = pytest.importorskip("numpy")

from agents.search.minilm import MiniLM  # noqa: E402
from agents.search.reranking import Reranker  # noqa: E402

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*MARKS, *re.findall("[a-z]+", "the log grows and never shrinks a journal file is kept small by it")]
TEXTS = ["the log grows", "a journal file is kept small by the log and never grows", "unknown"]


def tokenizer(path: Path) -> None:
    """One that knows a few words, like BERT's."""
    made = Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.save(str(path))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of that shape with numbers of chance, written by the library that defines it."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from safetensors.torch import save_file

    torch.manual_seed(5)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("minilm")
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    save_file(
        {name: tensor.contiguous() for name, tensor in bert.state_dict().items()},
        folder / "model.safetensors",
    )
    bert.save_pretrained(folder / "reference")
    tokenizer(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def weights() -> Path:
    found = minilm_files.installed(Path(settings.CORPUS_INDEX).parent)
    if found is None:
        pytest.skip("no re-ranker: its tests did not run (manage.py corpus install reranker)")
    return found


def test_vectors_are_those_of_the_reference_whatever_stands_beside_a_text(made: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    bert = transformers.BertModel.from_pretrained(made / "reference", add_pooling_layer=False).eval()
    ids = [encoding.ids for encoding in Tokenizer.from_file(str(made / "tokenizer.json")).encode_batch(TEXTS)]
    with torch.no_grad():
        means = [bert(torch.tensor([row])).last_hidden_state[0].mean(0) for row in ids]
    reference = np.stack([(mean / mean.norm()).numpy() for mean in means])
    together = MiniLM(made).vectors(TEXTS)
    assert np.abs(together - reference).max() < 5e-3
    alone = np.concatenate([MiniLM(made).vectors([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="no file of weights"):
        MiniLM(tmp_path)


def clock(step_s: float) -> Iterator[float]:
    return itertools.count(0.0, step_s)


def test_what_there_is_no_time_for_stays_behind_in_its_order_until_its_vectors_are_known(made: Path) -> None:
    pairs = itertools.islice(itertools.permutations(WORDS[4:], 2), 30)
    texts = [" ".join(pair) for pair in pairs]
    ticks = clock(1.0)
    reranker = Reranker(MiniLM(made), budget_s=0.5, clock=lambda: next(ticks))
    first = reranker.ordered("the log grows and is never small", texts, text=str, score=lambda text: 0.0)
    assert sorted(first) == sorted(texts)
    num_ranked = next(at for at in range(30) if first[at:] == texts[at:])
    assert num_ranked == 8
    reranker.ordered("the log grows and is never small", texts[8:], text=str, score=lambda text: 0.0)
    again = reranker.ordered("the log grows and is never small", texts, text=str, score=lambda text: 0.0)
    assert again[16:] == texts[16:]
    assert set(again[:16]) == set(texts[:16])
    assert again[:16] != texts[:16]


@pytest.fixture
def library(tmp_path: Path) -> Index:
    texts = {
        "Gardens": "Why does a gardener keep a journal? The trees keep growing, and never shrink.",
        "Write-ahead log": "A checkpoint moves what the log holds into the SQLite tables; without one the "
        "WAL becomes larger and larger on the disk.",
        "长江": "长江是亚洲最长的河流,流经上海。黄河也是一条很长的河。",
        "黄河": "黄河是中国第二长河,注入渤海。",
    }
    documents = [
        Document(id=f"notes/{at}", title=title, sections=(Section(heading="", text=text),))
        for at, (title, text) in enumerate(texts.items())
    ]
    path = tmp_path / "index.sqlite3"
    building.install(path, Source(name="notes", origin="a test", version="1", documents=documents))
    return Index(path)


def found(search: LocalSearch, query: str) -> list[str]:
    return [one.title for one in asyncio.run(search.search(Query(text=query)))]


def test_a_question_in_other_words_than_the_source_finds_it_first(library: Index, weights: Path) -> None:
    question = "why does the journal file of my sqlite database keep growing and never shrink"
    assert found(LocalSearch(library), question) == ["Gardens", "Write-ahead log"]
    ranked = LocalSearch(library, reranker=Reranker(MiniLM(weights)))
    assert found(ranked, question) == ["Write-ahead log", "Gardens"]
    assert ranked.version != LocalSearch(library).version


def test_chinese_is_left_in_the_order_of_its_words(library: Index, made: Path) -> None:
    ranked = LocalSearch(library, reranker=Reranker(MiniLM(made)))
    for question in ("黄河注入哪里", "亚洲最长的河流", "长江 river"):
        assert found(ranked, question) == found(LocalSearch(library), question)
