"""Networks of every form, with images, for tests that export them."""

import foreign_geometry as geometry
import pytest
from export_plans import PLANS, geometry_of, network_of


@pytest.fixture(params=[*PLANS, *geometry.ALL, "signs"])
def made(request):
    return network_of(PLANS[request.param]) if request.param in PLANS else geometry_of(request.param)
