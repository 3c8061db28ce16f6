"""What can be done in the deployments domain and by whom: one public method per action, `principal` first."""

from dg.core.deployments.service.approvals import Approvals
from dg.core.deployments.service.deployments import Deployments
from dg.core.deployments.service.figures import Figures
from dg.core.deployments.service.lanes import Lanes
from dg.core.deployments.service.notices import Notices
from dg.core.deployments.service.pipelines import Pipelines
from dg.core.deployments.service.recovery import Recovery

__all__ = ["Approvals", "Deployments", "Figures", "Lanes", "Notices", "Pipelines", "Recovery"]
