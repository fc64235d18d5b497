"""Solution of the damped normal equations of a sequence: frames in a chain, and a shared border.

    [ M    B ] [ dx ]     [ g ]        M block tridiagonal: blocks H_t on the diagonal and
    [ B^T  H ] [ ds ] = - [ h ]        -diag(c_t) between the frames t - 1 and t

The chain is eliminated frame by frame (block Cholesky), the border by its Schur complement: the
effort grows linearly with the number of frames, and the coupling in time is solved exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float64


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Gradient and Hessian of an energy of T frames with D parameters, and N shared ones."""

    gradient: Float64[Array, "T D"]
    hessian: Float64[Array, "T D D"]
    coupling: Float64[Array, "T D"]
    """c_t, not negative: minus the second derivative between frames t - 1 and t; 0 at t = 0."""
    border: Float64[Array, "T D N"]
    shared_gradient: Float64[Array, " N"]
    shared_hessian: Float64[Array, "N N"]

    def restricted(self, free: Array) -> NormalEquations:
        """Return the equations with the parameters outside `free` `[T, D]` fixed."""
        hessian = self.hessian * (free[:, :, None] & free[:, None, :])
        frames, places = np.nonzero(~free)
        hessian[frames, places, places] = 1.0
        both = free.copy()
        both[1:] &= free[:-1]
        return NormalEquations(
            self.gradient * free,
            hessian,
            self.coupling * both,
            self.border * free[:, :, None],
            self.shared_gradient,
            self.shared_hessian,
        )

    def damped(self, damping: float) -> NormalEquations:
        """Return the equations with the diagonals raised by a share (Levenberg-Marquardt)."""
        hessian = self.hessian.copy()
        _raise_diagonal(hessian, damping)
        shared = self.shared_hessian.copy()
        _raise_diagonal(shared, damping)
        return NormalEquations(
            self.gradient, hessian, self.coupling, self.border, self.shared_gradient, shared
        )

    def solve(self) -> tuple[Float64[Array, "T D"], Float64[Array, " N"]]:
        """Return the step of the frames and of the shared parameters.

        Raises:
            LinAlgError: the matrix is singular.
        """
        frames = len(self.gradient)
        right = np.concatenate([self.gradient[:, :, None], self.border], axis=2)
        inverses = np.zeros_like(self.hessian)
        for t in range(frames):
            block = self.hessian[t]
            if t:
                c = self.coupling[t]
                block = block - c[:, None] * inverses[t - 1] * c
                right[t] += c[:, None] * (inverses[t - 1] @ right[t - 1])
            inverses[t] = np.linalg.inv(block)
        solution = right
        for t in reversed(range(frames)):
            if t < frames - 1:
                solution[t] += self.coupling[t + 1][:, None] * solution[t + 1]
            solution[t] = inverses[t] @ solution[t]
        own = solution[:, :, 0]
        by_shared = solution[:, :, 1:]
        if not len(self.shared_gradient):
            return -own, np.zeros(0)
        flat = self.border.reshape(-1, len(self.shared_gradient))
        schur = self.shared_hessian - flat.T @ by_shared.reshape(flat.shape)
        rest = self.shared_gradient - flat.T @ own.reshape(-1)
        shared = -np.linalg.solve(schur, rest)
        return -own - by_shared @ shared, shared


def _raise_diagonal(matrices: Float64[Array, "*T D D"], damping: float) -> None:
    diagonal = np.einsum("...ii->...i", matrices)
    diagonal *= 1.0 + damping
    diagonal += 1e-9
