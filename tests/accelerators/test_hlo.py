"""What a program's text says: counted by hand."""

from jaxnets.accelerators.hlo import Cost, Program

LOOP = """\
HloModule loop

%fused_slice (p.0: f32[60,8,4], p.1: s32[]) -> f32[1,8,4] {
  %p.0 = f32[60,8,4]{2,1,0} parameter(0)
  %p.1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %slice = f32[1,8,4]{2,1,0} dynamic-slice(%p.0, %p.1, %zero, %zero), dynamic_slice_sizes={1,8,4}
}

%fused_write (q.0: f32[60,8,4], q.1: f32[8,4], q.2: s32[]) -> f32[60,8,4] {
  %q.0 = f32[60,8,4]{2,1,0} parameter(0)
  %q.1 = f32[8,4]{1,0} parameter(1)
  %q.2 = s32[] parameter(2)
  %row = f32[1,8,4]{2,1,0} bitcast(%q.1)
  %nought = s32[] constant(0)
  ROOT %update = f32[60,8,4]{2,1,0} dynamic-update-slice(%q.0, %row, %q.2, %nought, %nought)
}

%body (arg: (s32[], f32[60,8,4], f32[60,8,4])) -> (s32[], f32[60,8,4], f32[60,8,4]) {
  %arg = (s32[], f32[60,8,4]{2,1,0}, f32[60,8,4]{2,1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %xs = f32[60,8,4]{2,1,0} get-tuple-element(%arg), index=1
  %ys = f32[60,8,4]{2,1,0} get-tuple-element(%arg), index=2
  %x = f32[1,8,4]{2,1,0} fusion(%xs, %i), kind=kLoop, calls=%fused_slice
  %flat = f32[8,4]{1,0} bitcast(%x)
  %new = f32[60,8,4]{2,1,0} fusion(%ys, %flat, %i), kind=kLoop, calls=%fused_write
  ROOT %out = (s32[], f32[60,8,4]{2,1,0}, f32[60,8,4]{2,1,0}) tuple(%i, %xs, %new)
}

%condition (arg.1: (s32[], f32[60,8,4], f32[60,8,4])) -> pred[] {
  %arg.1 = (s32[], f32[60,8,4]{2,1,0}, f32[60,8,4]{2,1,0}) parameter(0)
  ROOT %more = pred[] constant(true)
}

ENTRY %main (a: f32[60,8,4], b: f32[60,8,4]) -> f32[60,8,4] {
  %a = f32[60,8,4]{2,1,0} parameter(0)
  %b = f32[60,8,4]{2,1,0} parameter(1)
  %start = s32[] constant(0)
  %all = (s32[], f32[60,8,4]{2,1,0}, f32[60,8,4]{2,1,0}) tuple(%start, %a, %b)
  %while.1 = (s32[], f32[60,8,4]{2,1,0}, f32[60,8,4]{2,1,0}) while(%all), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"60"}}
  %result = f32[60,8,4]{2,1,0} get-tuple-element(%while.1), index=2
  ROOT %sum = f32[60,8,4]{2,1,0} all-reduce(%result), to_apply=%condition
}
"""


def test_loops_count_as_often_as_they_run_and_slices_as_slices():
    row, whole = 8 * 4 * 4, 60 * 8 * 4 * 4
    loop = 60 * ((2 * row + 4) + (2 * row + 4))  # a row read and written by each kernel, and the index
    assert Program(LOOP).cost() == Cost(
        2 * 60 + 1, loop + 2 * whole, {"all-reduce": whole}, {"all-reduce": 1}
    )


TPU = """\
HloModule tiles

ENTRY %main (a: f32[10,100], s: f32[]) -> bf16[3,5] {
  %a = f32[10,100]{1,0:T(8,128)} parameter(0)
  %s = f32[]{:T(128)} parameter(1)
  %fast = f32[10,100]{1,0:T(8,128)S(1)} add(%a, %a)
  %scalar = f32[]{:T(128)S(6)} copy(%s)
  ROOT %out = bf16[3,5]{1,0:T(8,128)(2,1)} convert(%fast)
}
"""


def test_tiles_are_padded_and_memory_on_the_chip_is_free():
    read = 2 * 16 * 128 * 4  # 10 x 100 in tiles of 8 x 128, twice
    assert Program(TPU).cost() == Cost(2, read + 8 * 128 * 2)
