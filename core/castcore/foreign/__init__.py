"""Images of other programs: partclone files, Clonezilla folders. Pure; all damage is BadImage."""
