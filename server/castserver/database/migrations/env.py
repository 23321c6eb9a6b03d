"""What Alembic runs for each of its commands; the connection is ``castserver.database.schema``'s."""

from alembic import context

from castserver.database.schema import configured
from castserver.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, **configured()
)
with context.begin_transaction():
    context.run_migrations()
