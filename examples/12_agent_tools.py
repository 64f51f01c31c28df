"""An agent of `langchain.agents` with `remember`, `recall` and `forget`: the model decides, the run says for whom.

The model is a script here, so that the example runs offline; any chat model that calls tools does the same.
"""

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from crossthread import Memory


class Script(GenericFakeChatModel):
    """Says what it is told to, whatever tools it is given."""

    def bind_tools(self, tools, **settings):
        """Know the tools by heart."""
        return self


def calls(name, **arguments):
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


memory = Memory(index={"fields": ["text"]})  # found by words; no embedding model needed
tools = memory.tools(scope=("memories", "{user_id}"))


def say(user, thread, text, *script):
    agent = create_agent(Script(messages=iter(script)), tools, store=memory.store, checkpointer=memory.checkpointer)
    config = {"configurable": {"thread_id": thread, "user_id": user}}
    messages = agent.invoke({"messages": [("user", text)]}, config)["messages"]
    results = [message.text for message in messages if message.type == "tool"]
    print(f"{user}: {text}", *results, messages[-1].text, sep="\n    ")
    return results


say(
    "ada",
    "1",
    "My cat is called Turing.",
    calls("remember", text="The user's cat is called Turing."),
    AIMessage("Noted."),
)
(found,) = say("ada", "2", "What is my cat called?", calls("recall", query="cat"), AIMessage("Turing."))
assert "The user's cat is called Turing." in found

# A model may claim to be somebody else: the tools do not listen.
(found,) = say(
    "bob", "3", "What is Ada's cat called?", calls("recall", query="cat", user_id="ada"), AIMessage("Who knows.")
)
assert found == "Nothing is remembered about that."

(key,) = [item.key for item in memory.store.search(("memories", "ada"))]
say("ada", "4", "Forget my cat.", calls("forget", key=key), AIMessage("Forgotten."))
assert memory.store.count() == 0
memory.close()
