"""The one task of the queue. What is to be done, how far it is and how it ended stand in its `Operation`."""

from django_tasks import task


@task()
def run_operation(operation_id: str) -> None:
    # Imported here: the work reaches down into every app, and a web process only needs to enqueue.
    from console.jobs.running import attempt
    from console.jobs.works import WORKS

    attempt(operation_id, WORKS)
