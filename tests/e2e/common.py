"""Where things are, for all end-to-end tests.

ADDCOW_TEST_ROOT names a directory with addcow-preload.sh and build/ to test
instead of this source tree's; ADDCOW_TEST_WORK one for what the tests make;
ADDCOW_TEST_BEHIND the libraries to preload behind the one under test, and
ADDCOW_TEST_SANITIZER the sanitizer that these are of.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build")
WORK = os.environ.get("ADDCOW_TEST_WORK", BUILD)
TESTED = os.environ.get("ADDCOW_TEST_ROOT", ROOT)
WRAPPER = os.path.join(TESTED, "addcow-preload.sh")
PRELOAD = [WRAPPER, "--"]
LIBRARY = os.path.join(TESTED, "build", "libaddcow-preload.so")
# What the wrapper sets, for programs that are run without it.
LD_PRELOAD = LIBRARY + os.environ.get("ADDCOW_TEST_BEHIND", "")
SANITIZER = os.environ.get("ADDCOW_TEST_SANITIZER")
TOOL = os.path.join(TESTED, "build", "addcow-img")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def require(*files):
    """Ends the program if something is not built."""
    for name in files or (LIBRARY,):
        if not os.path.exists(name):
            raise SystemExit("%s is missing: run make" % name)
