"""A person's graph brought into one plain form: what is checked, fixed, compiled and named in reports.

    file --read_model--> as its author wrote it --normalise--> constants known, idle nodes gone, norms folded

Exporters write the same network in many ways. Here each way becomes the same graph, with the original's
names, computing the same but for rounding. A new rule is a function in its
family's file, called by ``normalise``.
"""
