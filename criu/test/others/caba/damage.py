#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damage the births in an image directory, to see what restore says.

damage.py DIR KIND   writes DIR/pstree.img anew, damaged
damage.py --kinds    lists the kinds
"""
import os
import sys

import pycriu


def last(entries):
    return entries[-1]


def nowhere(entries):
    last(entries)['caba'] = 9999


def missing(entries):
    del last(entries)['caba']


def itself(entries):
    last(entries)['caba'] = last(entries)['pid']


def cycle(entries):
    a, b = entries[-1], entries[-2]
    a['caba'], b['caba'] = b['pid'], a['pid']


def twice(entries):
    entries.append(dict(last(entries)))


def own_parent(entries):
    last(entries)['ppid'] = last(entries)['pid']


def no_ancestor(entries):
    # Nobody is a descendant of the last one
    entries[1]['caba'] = last(entries)['pid']


def foreign_session(entries):
    # Led by one that the other does not descend from
    last(entries)['sid'] = entries[-2]['pid']
    entries[-2]['sid'] = entries[-2]['pid']
    entries[-2]['pgid'] = entries[-2]['pid']
    last(entries)['caba'] = 0
    last(entries)['ppid'] = entries[0]['pid']


def zombie(entries):
    last(entries)['zombie'] = True


KINDS = {
    'nowhere': nowhere, 'missing': missing, 'itself': itself,
    'cycle': cycle, 'twice': twice, 'own-parent': own_parent,
    'no-ancestor': no_ancestor, 'foreign-session': foreign_session,
    'zombie': zombie,
    'truncated-inside': None, 'truncated-header': None, 'empty': None,
}


def main():
    if sys.argv[1:] == ['--kinds']:
        print(' '.join(KINDS))
        return
    path, kind = os.path.join(sys.argv[1], 'pstree.img'), sys.argv[2]
    with open(path, 'rb') as f:
        data = f.read()
    if kind == 'truncated-inside':
        data = data[:-3]
    elif kind == 'truncated-header':
        data = data[:6]
    elif kind == 'empty':
        # Magics only
        data = data[:8]
    else:
        with open(path, 'rb') as f:
            img = pycriu.images.load(f)
        KINDS[kind](img['entries'])
        data = pycriu.images.dumps(img)
    with open(path, 'wb') as f:
        f.write(data)


if __name__ == '__main__':
    main()
