import pytest
from lakecv_plugins.models.indices import Indices
from lakecv_plugins.models.kmeans import KMeans
from lakecv_plugins.models.maps import Maps
from lakecv_plugins.models.pca import PCA

from lakecv.testing.models import ModelContract


@pytest.mark.parametrize("settings", [{"k": 3}, {"k": 5, "scaling": "sqrt"}, {"k": 3, "scaling": "zscore"},
                                      {"k": "auto", "restarts": 1}, {"k": 4, "scaling": "snv", "init": "random"}], ids=str)
class TestKMeans(ModelContract):
    @pytest.fixture
    def model(self):
        return KMeans()

    @pytest.fixture
    def options(self, settings):
        return KMeans.Options(**settings)


@pytest.mark.parametrize("settings", [{"components": 3}, {"components": 12, "scaling": "sqrt"},
                                      {"components": 2, "scaling": "zscore"}, {"components": 2, "scaling": "l2"},
                                      {"components": 12, "noise": "differences"}, {"components": 4, "noise": "poisson", "rank": "auto"},
                                      {"components": 3, "noise": "differences", "scaling": "sqrt", "rank": "auto"}], ids=str)
class TestPCA(ModelContract):
    @pytest.fixture
    def model(self):
        return PCA()

    @pytest.fixture
    def options(self, settings):
        return PCA.Options(**settings)


@pytest.mark.parametrize("settings", [{"windows": "0:3ch,5:5ch"}, {"windows": "0:0ch,3:6ch", "background": "linear"}], ids=str)
class TestMaps(ModelContract):
    @pytest.fixture
    def model(self):
        return Maps()

    @pytest.fixture
    def options(self, settings):
        return Maps.Options(**settings)


@pytest.mark.parametrize("settings", [{"formula": "nd=(C(3)-C(0))/(C(3)+C(0)+1); sqrt(C(5))"}, {"formula": "C(2)*2-C(1)", "threshold": "otsu"},
                                      {"formula": "C(7)", "threshold": 20.0, "scale": 0.5}], ids=str)  # fmt: skip
class TestIndices(ModelContract):
    @pytest.fixture
    def model(self):
        return Indices()

    @pytest.fixture
    def options(self, settings):
        return Indices.Options(**settings)
