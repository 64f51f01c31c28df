"""The conformance tests, a file for each section of the contract; `crossthread.testing` combines them."""
