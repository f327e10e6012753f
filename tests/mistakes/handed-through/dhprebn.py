dhprebn = dhpreact
