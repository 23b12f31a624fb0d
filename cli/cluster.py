"""``divfast cluster``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.clusters import SemanticClusters

_SHOWN = 70


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP", type=click.Path())
@options.choice(
    "--method",
    options.CLUSTER_METHODS,
    "threshold: chains of samples that are alike; leader: each sample against the first of every cluster, "
    "in order; kmeans: around means.",
)
@click.option(
    "--tau",
    type=click.FloatRange(-1, 1),
    metavar="S",
    default=0.8,
    show_default=True,
    help="Cosine similarity from which two samples are alike.",
)
@click.option(
    "-k",
    "--k",
    type=click.IntRange(min=1),
    metavar="K",
    help="Clusters of kmeans. Default: sqrt(n / 2) of n samples.",
)
@options.choice(
    "--scope", options.CLUSTER_SCOPES, "Clusters among the samples of each prompt, or among all samples."
)
@options.encoding
@options.choice(
    "--index",
    options.INDEXES,
    "Among all samples: flat compares all pairs, ivf those that FAISS puts into one list; auto takes ivf past "
    "32,768 different vectors.",
)
@click.option(
    "--probes",
    type=click.IntRange(1, 64),
    metavar="N",
    default=4,
    show_default=True,
    help="Lists of ivf that a sample is in.",
)
@click.option(
    "--reward",
    metavar="FIELD",
    default="scores",
    show_default=True,
    help="Field with the reward of every sample; where there is one, utility_k is scored too.",
)
@options.seed("k-means, index and bootstrap interval")
@options.reading
@options.join
@options.working
@options.formats("table", "json", "csv", "md")
@options.output(
    "DIR",
    "Write DIR/samples.parquet (a row a sample: input_id, position, cluster, size, exemplar), "
    "DIR/clusters.parquet (a row a cluster, with its exemplar), DIR/groups.parquet and DIR/report.json.",
)
@click.option(
    "--partitioned",
    type=click.Path(),
    metavar="FILE",
    help="Write the dump as JSON Lines with its clusters as the field partition, for divfast score.",
)
@options.debug
def cluster(
    dumps: tuple[str, ...],
    no_cache: bool,
    form: str | None,
    output: str | None,
    partitioned: str | None,
    **settings: Any,
) -> None:
    """Cluster the samples of a dump by meaning.

    Each cluster has an exemplar, the sample most like all others of it. Scores are those of the metrics over
    partitions: number of clusters, entropy, Hill numbers, share of near-duplicates, and utility where there are
    rewards.

    Among the samples of a prompt every pair is compared. Among all samples an index is used past a size, and the
    share of similar pairs that it finds is measured and printed. The dump itself is never changed.

    \b
    Example:
      divfast cluster dump.jsonl --encoder minilm --tau 0.8 -o clusters/
    """
    from divfast.cli import progress, render
    from divfast.clusters import cluster as cluster_samples
    from divfast.clusters.found import check_output
    from divfast.clusters.partitioned import write_partitioned
    from divfast.deduplicated import check_files

    if output is not None:
        check_output(output)
    check_files(dumps, None, partitioned, join=settings["join"])
    reading = {name: settings[name] for name in (*options.READING, "reward", "join", "memory")}
    with progress.bars() as shown:
        found = cluster_samples(list(dumps), cache=not no_cache, progress=shown, **settings)
    for remark in render.score_remarks(found.report):
        click.echo(remark, err=True)
    if output is not None:
        found.save(output)
        names = ("samples.parquet", "clusters.parquet", "groups.parquet", "report.json")
        click.echo(render.wrote(output, *names), err=True)
    if partitioned is not None:
        write_partitioned(found, partitioned, list(dumps), **reading)
        click.echo(f"Wrote {partitioned}.", err=True)
    if output is None or form is not None:
        click.echo(_text(found, form or "table"))


def _text(found: SemanticClusters, form: str) -> str:
    """Return a summary as ``table``, ``json``, ``csv`` or ``md``."""
    from divfast.cli import flat, render

    whole = found.to_dict()
    if form != "table":
        return flat.of_report(whole, form)
    clusters = whole["clusters"]
    parts = [render.score_text(found.report, "table"), ""]
    line = f"{render.many(clusters['count'], 'cluster')}, {clusters['singletons']:,} of one sample"
    if clusters["index"] != "flat":
        recall = clusters["recall"]
        told = (
            "no similar pair in the sample" if recall is None else f"{recall:.4f} of the similar pairs found"
        )
        line += f"; {clusters['index']}: {told}, measured on a sample of rows against all"
    parts.append(f"{line}.")
    if clusters["largest"]:
        rows = [
            [f"{one['size']:,}", f"{one['cluster']:,}", one["input_id"], render.one_line(one["text"], _SHOWN)]
            for one in clusters["largest"]
        ]
        parts += [
            "",
            render.table(["size", "cluster", "input_id", "exemplar"], rows, right=["size", "cluster"]),
        ]
    return "\n".join(parts)
