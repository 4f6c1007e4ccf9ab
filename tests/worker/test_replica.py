"""A worker process, from the job on stdin to its last exit code, over its real socket."""

import numpy as np
from support.peer import floats


def test_a_worker_answers_each_item_of_a_batch(replica) -> None:
    worker = replica()
    with worker.connect() as gateway:
        answers = gateway.ask(floats([1, 2, 3, 4]), floats([0, 0, 0, 0], [5, 5, 5, 5]))
    assert [answer["y"].tolist() for answer in answers] == [[[3, 5, 7, 9]], [[1, 1, 1, 1], [11, 11, 11, 11]]]
    assert answers[0]["y"].dtype == np.float32
