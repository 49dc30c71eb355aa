"""Tests of node.up."""
