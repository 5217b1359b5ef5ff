#!/usr/bin/env bash
# Trains the spiral classifier. The settings stand here; the launcher passes them on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export LEARNING_RATE=0.05
export EPOCHS=2

echo "training with rate ${LEARNING_RATE}"
bash launch.sh spirals --epochs "${EPOCHS}"
echo "done"
