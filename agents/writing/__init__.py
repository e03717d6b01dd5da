"""Reports of many sections: kept in the work folder, written piece by piece, checked, drawn and exported."""
