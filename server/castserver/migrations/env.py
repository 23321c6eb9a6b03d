"""What Alembic runs for each of its commands; the connection is ``castserver.schema``'s."""

from alembic import context

from castserver.schema import configured
from castserver.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, **configured()
)
with context.begin_transaction():
    context.run_migrations()
