"""An index of a large gallery, which proposes similar drawings.

It is the HNSW graph of faiss (Malkov and Yashunin 2018), whose search time
grows with the logarithm of the number of drawings. faiss comes with the extra
`index`.
"""

import copy
from pathlib import Path

import numpy as np

from koch_siamese.evaluation.scoring import iterate_chunks

MIN_DRAWINGS = 100_000  # with fewer, comparing all of them is faster
NUM_LINKS = 16  # links of a drawing; twice as many in the lowest layer
BUILD_EFFORT, SEARCH_EFFORT = 100, 100  # least number of drawings to visit
DRAWINGS_AT_ONCE = 4096
MAX_REMOVED = 0.5  # fraction of drawings above which it is rebuilt


class GalleryIndex:
    """Finds drawings of a gallery that may have the highest scores.

    It only measures distances, see `Head.distance_weights`. The model scores
    the proposed drawings.

    Attributes:
        file: the file that the graph is mapped from, or None.
        positions: int64, the position in the gallery of each drawing of the
            graph; -1: removed.
    """

    def __init__(self, distance_weights: np.ndarray | None):
        """Makes an empty index.

        Args:
            distance_weights: the weights of an L1 distance of embeddings,
                float32 `[dim]`, at least 0; None for the Euclidean distance.
        """
        import faiss

        if distance_weights is None:
            self._scale, metric = np.float32(1), faiss.METRIC_L2
        else:
            self._scale, metric = distance_weights, faiss.METRIC_L1
        self._make = lambda dim: faiss.IndexHNSWFlat(dim, NUM_LINKS, metric)
        self._forget()

    def _forget(self):
        self._graph = self._embeddings = self.file = None
        self._is_shared = False  # with a copy, so that it must not grow
        self.positions = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Number of drawings in the graph, removed ones included."""
        return len(self.positions)

    def copy(self) -> "GalleryIndex":
        """Copies the index; the two share the graph until one of them grows."""
        self._is_shared = True
        return copy.copy(self)

    def update(self, embeddings: np.ndarray):
        """Adds the new drawings of a gallery, and drops removed ones.

        Args:
            embeddings: float32 `[num_drawings, dim]`, of the whole gallery, one
                drawing or more.
        """
        if embeddings is self._embeddings:
            return
        if self.file and not self.file.exists():
            self._forget()  # a mapped graph can only grow from its file
        missing = self._follow(embeddings)
        if (self.positions < 0).sum() > MAX_REMOVED * len(self):
            self._forget()
            missing = self._follow(embeddings)
        if len(missing):
            self._add(embeddings, missing)
        self._embeddings = embeddings

    def _follow(self, embeddings):
        """Updates the positions of known drawings; returns the new ones."""
        before = self._embeddings
        num = 0 if before is None else len(before)
        if num == 0 or np.array_equal(embeddings[:num], before):
            return np.arange(num, len(embeddings))
        moved = _match(_hash(before), _hash(embeddings))
        self.positions = np.where(self.positions < 0, -1, moved[self.positions])
        return np.setdiff1d(np.arange(len(embeddings)), self.positions)

    def _add(self, embeddings, missing):
        import faiss

        if self._graph is None:
            self._graph = self._make(embeddings.shape[1])
            self._graph.hnsw.efConstruction = BUILD_EFFORT
        if self.file:  # a mapped graph cannot grow
            self._graph = faiss.read_index(str(self.file))
            self.file = None
        elif self._is_shared:
            self._graph = faiss.clone_index(self._graph)
        self._is_shared = False
        chunks = iterate_chunks(len(missing), DRAWINGS_AT_ONCE, "Indexing")
        try:
            for chunk in chunks:
                self._graph.add(embeddings[missing[chunk]] * self._scale)
        except BaseException:  # such as an interrupt
            self._forget()  # its positions are no longer those of the graph
            raise
        self.positions = np.concatenate([self.positions, missing])

    def propose(self, queries: np.ndarray, num: int) -> list[np.ndarray]:
        """Proposes drawings for each query.

        Args:
            queries: embeddings, float32 `[num_queries, dim]`.
            num: how many drawings of the graph to find.

        Returns:
            For each query, int64 positions in the gallery, the most similar
            first; fewer than `num` if some of them are removed.
        """
        self._graph.hnsw.efSearch = max(SEARCH_EFFORT, num)
        _, rows = self._graph.search(queries * self._scale, num)
        positions = (self.positions[row[row >= 0]] for row in rows)
        return [found[found >= 0] for found in positions]

    def write(self, path: Path):
        """Writes the graph, without the positions, to a file."""
        import faiss

        faiss.write_index(self._graph, str(path))

    @classmethod
    def read(
        cls,
        distance_weights: np.ndarray | None,
        path: Path,
        positions: np.ndarray,
        embeddings: np.ndarray,
    ) -> "GalleryIndex":
        """Maps a graph from its file, so that only used parts take memory.

        Args:
            distance_weights: as in `__init__`.
            path: the file.
            positions: see the attribute.
            embeddings: of the gallery.

        Raises:
            ValueError: the graph does not match the positions or embeddings.
            RuntimeError: faiss cannot read the file.
        """
        import faiss

        index = cls(distance_weights)
        graph = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        is_graph = isinstance(graph, faiss.IndexHNSWFlat)
        if (
            not is_graph
            or graph.ntotal != len(positions)
            or graph.d != embeddings.shape[1]
            or positions.max(initial=-1) >= len(embeddings)
        ):
            raise ValueError("the index is of another gallery")
        index._graph, index.file = graph, path
        index.positions, index._embeddings = positions, embeddings
        return index


def _match(before, after):
    """The index in `after` of each value of `before`, or -1.

    The second of two equal values is matched with the second, and so on.
    """
    order = np.argsort(after, kind="stable")
    own_order = np.argsort(before, kind="stable")
    ordered, own = after[order], before[own_order]
    rank = np.arange(len(own)) - np.searchsorted(own, own)
    indices = np.searchsorted(ordered, own) + rank
    is_there = indices < len(ordered)
    is_there[is_there] = ordered[indices[is_there]] == own[is_there]
    matched = np.full(len(before), -1)
    matched[own_order[is_there]] = order[indices[is_there]]
    return matched


def _hash(embeddings):
    """Hashes each embedding by its bits."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1 << 63, size=embeddings.shape[1], dtype=np.uint64)
    hashes = []
    for start in range(0, len(embeddings), DRAWINGS_AT_ONCE):
        chunk = embeddings[start : start + DRAWINGS_AT_ONCE]
        bits = np.ascontiguousarray(chunk).view(np.uint32).astype(np.uint64)
        hashes.append(bits @ (2 * factors + 1))
    return np.concatenate(hashes)
