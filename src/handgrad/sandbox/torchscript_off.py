"""Take TorchScript away, for good: its executor records and runs graphs of its own, whatever Python's autograd does."""

import re
from typing import Any

import torch

from handgrad.sandbox.refusing import Replacements, refuse_methods

__all__ = ["take_away"]

_KEPT = (
    # torch.ops asks for operators and their signatures
    *("_jit_get_operation", "_jit_resolve_packet", "_jit_get_schemas_for_operator", "_jit_get_all_schemas"),
    *("_jit_is_script_object", "_jit_get_custom_class_schemas", "_jit_init"),
)
_FUNCTIONS = re.compile(
    r"_jit_|_?import_ir_module|parse_ir$|_parse_source_def$|_create_(function|graph|module|object)_|_load_|_save_"
    r"|_backport_for_mobile|_nn_module_to_mobile|_debug_set_|_(get|set)_graph_exec|_set_tracing_state$|_tracer_"
    r"|_(get|set)_value_trace$|_last_executed|_compile_graph|_generate_upgraders|_freeze_module|_replace_overloaded"
    r"|_run_emit_module|_propagate_|_test_only_"
)
"""Functions of torch._C that make, load, change or run a program of TorchScript."""
_TYPES = (
    *("CompilationUnit", "Graph", "Block", "Node", "Value", "Code", "ExecutionPlan", "Gradient", "GraphExecutorState"),
    *("ScriptFunction", "ScriptMethod", "ScriptModule", "ScriptClass", "ScriptClassFunction", "LiteScriptModule"),
    *("StaticModule", "ThroughputBenchmark", "TracingState", "ScriptModuleSerializer", "ConcreteModuleTypeBuilder"),
)
"""Types of torch._C that are such a program, a part of one, or what compiles or runs it."""
_SUBMODULES = ("_jit_tree_views", "_lazy", "_lazy_ts_backend", "_nativert", "_aoti")
"""Modules of torch._C with compilers and executors of their own."""
_PYTHON = (
    *("fork", "freeze", "load", "optimize_for_inference", "save", "trace_module", "wait"),
    *("script_method", "set_fusion_strategy", "jit_module_from_flatbuffer", "save_jit_module_to_flatbuffer"),
    *("last_executed_optimized_graph", "run_frozen_optimizations", "enable_onednn_fusion"),
)
"""Names in torch.jit; what decorates a function or asks whether it is a script stays."""


def take_away(replacements: Replacements) -> None:
    """Let everything raise that makes, loads or runs a program of TorchScript.

    What is replaced in torch's C module is not kept: nothing in the process refers to it any more.
    """
    replacements.refuse("torch._C", [name for name in _functions(torch._C) if _FUNCTIONS.match(name)], torch._C)
    for name in _SUBMODULES:
        if (module := getattr(torch._C, name, None)) is not None:
            replacements.refuse(
                f"torch._C.{name}", [member for member in dir(module) if not member.startswith("__")], module
            )
    for name in _TYPES:
        kind: Any = getattr(torch._C, name, None)
        if isinstance(kind, type):
            # types are found by other ways than their names
            methods = [
                member for member in vars(kind) if callable(getattr(kind, member)) and not member.startswith("__")
            ]
            refuse_methods(f"torch.jit.{name}", kind, [*methods, "__init__", "__call__"])
    replacements.refuse("torch.jit", _PYTHON, torch.jit)


def _functions(module: Any) -> list[str]:
    """The names of a module's functions that may be taken away."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and name not in _KEPT
    ]
