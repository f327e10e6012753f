# done in the first cell
