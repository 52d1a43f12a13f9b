a: !reset null
