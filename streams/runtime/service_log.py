"""The logger of Faust's service life cycle ("Starting...", "Stopping...") for our subclasses.

Faust logs those under the module of the class; this name keeps them with Faust's own, which a quiet worker does not show.
"""

import logging

service_log = logging.getLogger("faust.lanes")
