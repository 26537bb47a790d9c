"""What a spawned worker imports in place of the caller's script.

So a script needs no ``if __name__ == "__main__"`` guard; and a Ctrl-C at the terminal, which goes to every process of the
group, is left to the driver, which ends its workers in order.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
