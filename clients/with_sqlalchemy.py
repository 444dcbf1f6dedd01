"""SQLAlchemy 2 over psycopg and asyncpg: reflection, sessions, bulk inserts, streaming."""

import asyncio
import os

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str] = orm.mapped_column(index=True)
    price: orm.Mapped[float] = orm.mapped_column(sa.Numeric(8, 2))
    data: orm.Mapped[dict] = orm.mapped_column(JSONB)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("sa_author.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


engine = sa.create_engine("postgresql+psycopg://")
Base.metadata.create_all(engine)
inspector = sa.inspect(engine)
print(inspector.get_columns("sa_book")[1]["name"], inspector.get_foreign_keys("sa_book")[0]["referred_table"], inspector.get_indexes("sa_book")[0]["name"])
with orm.Session(engine) as session:
    for a in range(20):
        session.add(Author(name=f"author {a}", books=[Book(title=f"book {a}.{b}", price=b, data={"n": b}) for b in range(5)]))
    session.commit()
    print(session.scalar(sa.select(sa.func.count()).select_from(Book)))
    found = session.scalars(sa.select(Author).options(orm.selectinload(Author.books)).order_by(Author.id).limit(2)).all()
    print([(author.name, [book.title for book in author.books]) for author in found])
    session.execute(sa.update(Book).where(Book.price > 3).values(price=Book.price * 2))
    session.delete(found[0])
    session.commit()
    print(session.scalar(sa.select(sa.func.sum(Book.price))))
    try:
        with session.begin_nested():
            session.execute(sa.insert(Author).values(id=2, name="twice"))
    except sa.exc.IntegrityError as error:
        print(error.orig.sqlstate)
    session.rollback()
with engine.connect().execution_options(stream_results=True, max_row_buffer=50) as connection:
    print(sum(1 for _ in connection.execute(sa.text("SELECT * FROM generate_series(1, 3000)"))))


async def main():
    ssl = "require" if os.environ.get("PGSSLMODE") == "require" else "prefer"
    async_engine = create_async_engine("postgresql+asyncpg://", connect_args={"ssl": ssl})
    async with async_sessionmaker(async_engine)() as session:
        print((await session.scalars(sa.select(Book.title).order_by(Book.id).limit(3))).all())
        result = await session.stream(sa.select(Book.id))
        print(len([row async for row in result]))
    await async_engine.dispose()


asyncio.run(main())
Base.metadata.drop_all(engine)
