#!/usr/bin/env node
import '../dist/outcrop.js';
