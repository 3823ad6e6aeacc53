\echo Use "CREATE EXTENSION saleshub" to load this file. \quit
