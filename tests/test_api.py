import subprocess
import sys
from pathlib import Path

import pytest

import mosaic_deploy

PUBLIC = [
    "BuildReport", "CheckReport", "Contract", "DataError", "ModelCard", "ModelError", "MosaicError",
    "ParityReport", "QuantRecipe", "Request", "SpecError", "TargetSpec", "ToolError", "UsageError",
    "check", "deploy",
]  # fmt: skip


def test_the_public_names_are_these_and_all_there() -> None:
    assert mosaic_deploy.__all__ == PUBLIC
    script = f"import sys, mosaic_deploy; [getattr(mosaic_deploy, n) for n in {PUBLIC}]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "onnxruntime", "onnxruntime_qnn", "tensorflow", "openvino"}


def test_a_public_name_is_no_module_of_the_package() -> None:
    import mosaic_deploy.build.pipeline
    import mosaic_deploy.gate.op_support.judge

    assert mosaic_deploy.check is mosaic_deploy.gate.op_support.judge.check
    folder = Path(mosaic_deploy.__file__).parent
    assert not [name for name in PUBLIC if (folder / f"{name}.py").exists() or (folder / name).exists()]


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'depoly'"):
        mosaic_deploy.depoly  # noqa: B018


def test_exit_codes_of_the_error_tree() -> None:
    from mosaic_deploy import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.MosaicError)]
    codes = {kind.__name__: kind.exit_code for kind in kinds}
    assert codes == {
        "MosaicError": 2, "UsageError": 2, "SpecError": 2, "ModelError": 2, "RefusedError": 1,
        "DataError": 2, "ToolError": 3,
    }  # fmt: skip
