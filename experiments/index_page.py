"""The indexes by the documents' own headings: docs/documents.md, and docs/index.zh.md in Chinese."""

from experiments.catalogue import ROWS
from experiments.index_table import CHAPTERS, PLACES
from experiments.results_page import LABELS, cells, length, line

import re
from collections.abc import Mapping
from typing import Any

HEAD = """\
English | [中文](index.zh.md)

# The documents, heading by heading

Where each system of the five documents stands, under the document's own (Chinese) heading, and which script
of `experiments/` reproduces it. [results.md](results.md) has all figures, data, seeds and seconds, by the
row's name; `reproduce.py --only` takes these names as well:

    python experiments/reproduce.py --quick
    python experiments/reproduce.py --only C1 D6
"""
CHINESE_HEAD = """\
[English](documents.md) | 中文

# 实验索引

五份文档描述了 50 个系统，每个系统在 `experiments/` 里有一个短脚本，按文档的六步
（数据、网络、优化器与损失、训练、摘要、图）写成，并把文档给出的数字和实测的数字并排打印。
下表按文档的章节排列。“编号”是这个系统在本项目中的短名：[results.md](results.md)
用它查找全部数字、数据、随机种子和用时，`reproduce.py` 的 `--only` 也用它选择要运行的系统：

    python experiments/reproduce.py --quick
    python experiments/reproduce.py --only C1 D6

第一条命令在小数据上把所有系统试跑一遍，几分钟完成；第二条按文档的规模运行选中的系统，
在两个核上可能要几小时。脚本只在源码仓库里，不在 wheel 里。
多个随机种子的结果写成“平均值（最小值至最大值）”。MNIST 和 CIFAR-10 用的是 JPEG 副本，
因为得不到原始文件。“推导”指文档里没有、由文档推出的数字。
"""
COLUMNS = ("", "heading", "system", "script", "figure", "documented", "measured")
CHINESE_COLUMNS = ("编号", "章节", "系统", "脚本", "数字", "文档", "实测")
CHINESE = {  # what stands in cells, as patterns
    r"not recorded yet": "尚未记录",
    r"not reached in (\d+) epochs": r"\1 轮内未达到",
    r"not run yet": "尚未运行",
    r"not measured": "未测（所需文件在此无法下载）",
    r"not given": "未给出",
    r"of other data": "为其他数据",
    r"pictures": "图",
    r"about ": "约 ",
    r", again ": "，另一次 ",
    r" \(derived\)": "（推导）",
    r" \((\S+) to (\S+)\)": r"（\1 至 \2）",
    r", stopped early after (\d+) to (\d+) epochs, at most (\d+)": r"（至多 \3 轮，\1 至 \2 轮后早停）",
    r", stopped early after (\d+) epochs, at most (\d+)": r"（至多 \2 轮，\1 轮后早停）",
    r", (\d+) of (\d+) epochs": r"（\2 轮中训练了 \1 轮）",
}


def render_index(results: Mapping[str, Any], *, chinese: bool = False) -> str:
    """Returns an index.

    Args:
        results: What results.json holds.
        chinese: Whether it is the Chinese one.
    """
    columns = CHINESE_COLUMNS if chinese else COLUMNS
    parts = [CHINESE_HEAD if chinese else HEAD]
    for letter, (heading, english, files) in CHAPTERS.items():
        title = heading if chinese else f"{english} ({heading})"
        parts.append(f"\n## {title}\n\n{'文档' if chinese else 'Files'}: {files}\n")
        parts.append(f"\n{line(columns)}\n{line(['---'] * len(columns))}\n")
        for name in (name for name in PLACES if name[0] == letter):
            parts += [line(each) + "\n" for each in _rows(name, results.get(name), chinese)]
    return "".join(parts)


def _rows(name: str, entry: Mapping[str, Any] | None, chinese: bool) -> list[list[str]]:
    """The lines of one system."""
    row, (heading, what, figures) = ROWS[name], PLACES[name]
    runs = [run for run in entry["runs"] if "figures" in run] if entry else []
    system = (what if chinese else row.what) + (length(row, runs) if runs else "")
    script = f"[{row.script}.py](../experiments/{row.script}.py)"
    if not runs or not figures:
        told = "pictures" if runs else "not measured" if entry else "not run yet"
        lines = [["", "", told]]
    else:
        lines = [
            [figures[one] if chinese else LABELS.get(one, one), *cells(row, one, runs)[:2]] for one in figures
        ]
    table = [
        [*((name, heading, system, script) if not index else ("",) * 4), *each]
        for index, each in enumerate(lines)
    ]
    return [[_in_chinese(cell) for cell in each] for each in table] if chinese else table


def _in_chinese(cell: str) -> str:
    for pattern, words in CHINESE.items():
        cell = re.sub(pattern, words, cell)
    return cell
