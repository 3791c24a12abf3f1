# How time and memory of a window grow with each size. Run by report.lua, which
# sets 'data' (one block for each size, in the order of the panels) and 'out'.

set terminal svg size 900,620 font "sans-serif,13" background "#ffffff"
set output out
set multiplot layout 2,2

set logscale x 2
set logscale y 10
set logscale y2 10
set ytics nomirror
set y2tics
set format y "%g"
set format y2 "%g"
set ylabel "ms" textcolor rgb "#1b6ca8"
set y2label "MB" textcolor rgb "#b5541c"
set grid xtics ytics linecolor rgb "#dddddd"
set key top left reverse Left
set offsets graph 0.05, graph 0.05, 0, 0
set style line 1 linecolor rgb "#1b6ca8" linewidth 2 pointtype 7 pointsize 0.6
set style line 2 linecolor rgb "#b5541c" linewidth 2 pointtype 5 pointsize 0.6

array titles[4] = ["steps T", "batch B", "hidden units H", "layers"]
do for [panel = 1:4] {
  set title titles[panel]
  plot data index panel - 1 using 1:2 with linespoints linestyle 1 title "time of an update", \
       data index panel - 1 using 1:3 axes x1y2 with linespoints linestyle 2 title "peak of memory"
}
unset multiplot
