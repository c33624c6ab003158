"""`pathway-billing asyncapi`: the contract as an AsyncAPI document."""

import click


@click.command("asyncapi")
@click.option("--page", "as_page", is_flag=True, help="A Markdown page for people instead.")
def command(as_page: bool) -> None:
    """Print the AsyncAPI 3 document (JSON) of all topics, messages and schemas, made from what this version runs with."""
    from streams.asyncapi import document_text, page

    click.echo(page() if as_page else document_text(), nl=False)
