"""dulwich: a git daemon.

`RequestHandlerClass` is a bound method of the server; `serve` is
`socketserver.TCPServer.serve_forever`, taken as a class attribute when the module is imported
(so a late graft does not reach it: the standard loop then runs over grafted methods);
`verify_request` and `handle_error` are overridden (logging).
"""

import logging
import sys
import tempfile

from _scenario import HOST, Program, run


def load():
    from dulwich import porcelain
    from dulwich.client import TCPGitClient
    from dulwich.repo import MemoryRepo, Repo
    from dulwich.server import FileSystemBackend, TCPGitServer

    logging.getLogger("dulwich").setLevel(logging.CRITICAL)
    who = b"A. U. Thor <author@example.org>"

    class Git(Program):
        concurrent = False
        garbage = b"\x00\xff\xfe garbage \x80\r\n\r\n"
        half = b"0033git-upload-pack /"

        def start(self):
            self.directory = tempfile.TemporaryDirectory()
            with Repo.init(self.directory.name) as repository:
                for turn in range(3):
                    porcelain.commit(
                        repository,
                        message=f"commit {turn}",
                        author=who,
                        committer=who,
                        author_timestamp=1_700_000_000 + turn,
                        commit_timestamp=1_700_000_000 + turn,
                        author_timezone=0,
                        commit_timezone=0,
                    )
                self.head = repository.head()
            self.server = TCPGitServer(FileSystemBackend(self.directory.name), HOST, port=0)
            self.address = self.server.server_address
            self.in_thread(self.server.serve)

        def converse(self, number):
            host, port = self.address
            client = TCPGitClient(host, port=port)
            target = MemoryRepo()
            result = client.fetch(self.directory.name.encode(), target)
            assert result.refs[b"HEAD"] == self.head
            messages = [
                entry.commit.message.decode() for entry in target.get_walker([self.head])
            ]
            assert messages == ["commit 2", "commit 1", "commit 0"]
            return messages, self.head.decode()

        def stop(self):
            self.server.shutdown()
            self.server.server_close()
            self.join()

        def cleanup(self):
            self.directory.cleanup()

    return [Git]


if __name__ == "__main__":
    sys.exit(run(load))
