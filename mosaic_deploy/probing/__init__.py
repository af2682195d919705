"""Probing: one-operator models, compiled and run on the real toolchain, beside what an op table says.

    form --sketch--> case --compiler--> outcome
                     case ---check----> finding: do they agree?

A ``Form`` is one way to use an operator. It sketches ``Case``s: a small float model, its inputs, and the
precision that it is tried at. A ``Compiler`` tries each case in a child process and tells the outcome.
From outcomes ``synthesis`` makes the rules of an op table, and ``agreement`` says where a table is wrong.
"""
